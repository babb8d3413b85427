/* Names without case, dashes and underscores, held against parts and whole words. */
#include "session/secret_name.h"

#include "base/scope.h"

#define NAME_MAX_BYTES 64

/* Lower case, letters and digits only. */
static void fold(char out[NAME_MAX_BYTES], struct view name)
{
	size_t length = 0;

	for (size_t i = 0; i < name.length && length + 1 < NAME_MAX_BYTES; i++) {
		char c = name.at[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c | 0x20);
		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			out[length++] = c;
	}
	out[length] = '\0';
}

static bool any_part(const char *name, const char *const *parts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strstr(name, parts[i]))
			return true;
	return false;
}

static bool any_word(const char *name, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(name, words[i]) == 0)
			return true;
	return false;
}

bool secret_name_of_number(struct view name)
{
	static const char *const parts[] = {"password", "passcode", "cardnumber", "cardno"};
	static const char *const words[] = {"pin", "cvv", "cvc", "ssn", "otp", "iban", "card"};
	char folded[NAME_MAX_BYTES];

	fold(folded, name);
	return any_part(folded, parts, ARRAY_LEN(parts)) || any_word(folded, words, ARRAY_LEN(words));
}

bool secret_name_of_cookie(struct view name)
{
	static const char *const parts[] = {"session", "sess", "auth", "login", "remember", "jwt"};
	static const char *const words[] = {"sid", "id", "connectsid"};
	char folded[NAME_MAX_BYTES];

	fold(folded, name);
	return secret_name(name) || any_part(folded, parts, ARRAY_LEN(parts)) || any_word(folded, words, ARRAY_LEN(words));
}

bool secret_name(struct view name)
{
	static const char *const parts[] = {"password",  "passwd", "passphrase", "passcode",   "secret",     "apikey",
					    "accesskey", "token",  "privatekey", "credential", "cardnumber", "cardno",
					    "csrf",      "xsrf",   "sessionid",  "sessionkey", "signature",  "otpcode"};
	static const char *const words[] = {
		"authorization", "proxyauthorization", "pwd", "jwt", "sid", "pin", "cvv", "cvc", "ssn", "otp", "iban", "pass"};
	/* What is said of a secret is none. */
	static const char *const about[] = {"type", "expires", "expiresin", "expiry",  "count", "name",
					    "url",  "uri",     "length",    "enabled", "hint",  "policy"};
	char folded[NAME_MAX_BYTES];

	fold(folded, name);
	for (size_t i = 0; i < ARRAY_LEN(about); i++)
		if (view_ends(view_of(folded), view_of(about[i])))
			return false;
	return any_part(folded, parts, ARRAY_LEN(parts)) || any_word(folded, words, ARRAY_LEN(words));
}
