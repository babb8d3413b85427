/* The last look at what a rule found: the value itself, on the text that was kept. */
#include <ctype.h>
#include <math.h>
#include <strings.h>
#include <zlib.h>

#include "base/scope.h"
#include "gateway/dlp/dlp_priv.h"

#define MATCH_LIMIT 100000
#define NEAR_BYTES ((size_t)1024)

/* What stands where a secret would stand in examples, templates and tests. */
static const char *const stops_of_all[] = {
	"example",  "sample",   "placeholder", "changeme", "change_me", "change-me", "your_",    "your-",    "yourkey",
	"xxxx",     "dummy",    "redacted",    "insert",   "replace",   "****",      "00000000", "11111111", "12345678",
	"01234567", "abcdefgh", "deadbeef",    "aaaaaaaa", "fake",      "undefined", "notreal",
};

static bool contains_nocase(struct view text, const char *word)
{
	size_t length = strlen(word);

	for (size_t i = 0; i + length <= text.length; i++)
		if (tolower((unsigned char)text.at[i]) == tolower((unsigned char)word[0]) &&
		    strncasecmp(text.at + i, word, length) == 0)
			return true;
	return false;
}

double dlp_entropy(struct view value)
{
	unsigned counts[256] = {0};
	double bits = 0;

	for (size_t i = 0; i < value.length; i++)
		counts[(unsigned char)value.at[i]]++;
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		if (counts[i])
			bits -= counts[i] * log2((double)counts[i] / (double)value.length);
	return value.length ? bits / (double)value.length : 0;
}

static bool check_mixed(struct view value)
{
	bool digit = false, letter = false;

	for (size_t i = 0; i < value.length; i++) {
		digit |= isdigit((unsigned char)value.at[i]) != 0;
		letter |= isalpha((unsigned char)value.at[i]) != 0;
	}
	return digit && letter;
}

/* ISO/IEC 7812-1, annex B. */
static bool check_luhn(struct view value)
{
	unsigned sum = 0, digits = 0;

	for (size_t i = value.length; i-- > 0;) {
		unsigned digit;

		if (!isdigit((unsigned char)value.at[i]))
			continue;
		digit = (unsigned)(value.at[i] - '0');
		if (digits++ % 2)
			digit = digit * 2 > 9 ? digit * 2 - 9 : digit * 2;
		sum += digit;
	}
	return digits >= 12 && sum % 10 == 0;
}

/* GitHub's and npm's tokens: after the prefix, random letters and digits, and six of base 62 that are the CRC32 of those.
 * https://github.blog/2021-04-05-behind-githubs-new-authentication-token-formats/ */
static bool check_crc32_base62(struct view value)
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	struct view body = value;
	uint32_t crc;

	for (size_t i = 0; i < value.length; i++)
		if (value.at[i] == '_')
			body = view_make(value.at + i + 1, value.length - i - 1);
	if (body.length < 7)
		return false;
	crc = (uint32_t)crc32(0, (const Bytef *)body.at, (uInt)(body.length - 6));
	for (size_t i = body.length; i-- > body.length - 6; crc /= 62)
		if (body.at[i] != digits[crc % 62])
			return false;
	return true;
}

/* RFC 7519: the first part is a JSON object that names an algorithm. */
static bool check_jwt(struct view value)
{
	AUTO_BUF header = buf_new(DLP_HOLD_BACK);
	struct view rest;

	return buf_add_unbase64(&header, view_cut(value, '.', &rest), NULL) == 0 && header.length > 8 && header.at[0] == '{' &&
	       contains_nocase(buf_view(&header), "\"alg\"");
}

/* A key has material: at least 64 characters of base 64 between its lines, escaped or not, and no dots or stars instead. */
static bool check_key_block(struct view value)
{
	size_t material = 0;

	for (size_t i = 0; i < value.length; i++) {
		if (value.length - i > 1 && value.at[i] == '\\' && strchr("nrt", value.at[i + 1]))
			i++;
		else if (isalnum((unsigned char)value.at[i]) || value.at[i] == '+' || value.at[i] == '/' || value.at[i] == '=')
			material++;
		else if (!isspace((unsigned char)value.at[i]) && !strchr("-:,\"'", value.at[i]))
			return false;
	}
	return material >= 64 + sizeof "BEGINRSAPRIVATEKEY" && dlp_entropy(value) > 4;
}

/* ISO 13616: moved by four, letters as numbers, the remainder by 97 is 1. */
static bool check_iban(struct view value)
{
	unsigned remainder = 0;

	for (size_t i = 0; i < value.length; i++) {
		char c = value.at[(i + 4) % value.length];

		if (isdigit((unsigned char)c))
			remainder = (remainder * 10 + (unsigned)(c - '0')) % 97;
		else
			remainder = (remainder * 100 + (unsigned)(toupper((unsigned char)c) - 'A' + 10)) % 97;
	}
	return value.length > 4 && remainder == 1;
}

static bool check_base64(struct view value)
{
	AUTO_BUF bytes = buf_new(DLP_HOLD_BACK);

	return buf_add_unbase64(&bytes, value, NULL) == 0 && bytes.length >= 16;
}

static bool is_allowed(const pcre2_code *allowed, struct view value)
{
	return allowed &&
	       pcre2_match(allowed, (PCRE2_SPTR)value.at, value.length, 0, 0, thread_get()->match, thread_get()->context) >= 0;
}

static bool value_passes(const struct rule *rule, struct view value)
{
	static bool (*const checks[])(struct view) = {
		[CHECK_NONE] = NULL,       [CHECK_MIXED] = check_mixed,
		[CHECK_LUHN] = check_luhn, [CHECK_CRC32_BASE62] = check_crc32_base62,
		[CHECK_JWT] = check_jwt,   [CHECK_KEY_BLOCK] = check_key_block,
		[CHECK_IBAN] = check_iban, [CHECK_BASE64] = check_base64,
	};

	if (rule->entropy > 0 && dlp_entropy(value) < rule->entropy)
		return false;
	if (rule->check != CHECK_NONE && !checks[rule->check](value))
		return false;
	for (size_t i = 0; rule->stops[i]; i++)
		if (contains_nocase(value, rule->stops[i]))
			return false;
	if (is_allowed(rule->allowed, value))
		return false;
	if (rule->entropy > 0)
		for (size_t i = 0; i < ARRAY_LEN(stops_of_all); i++)
			if (contains_nocase(value, stops_of_all[i]))
				return false;
	return true;
}

/* As rules for paths are read: `*` within a segment but for the end, where it stands for all that follows; `**` for anything. */
static bool path_fits(const char *pattern, const char *path)
{
	for (; *pattern; pattern++, path++) {
		if (*pattern == '*') {
			bool any = pattern[1] == '*' || !pattern[1];

			while (pattern[1] == '*')
				pattern++;
			if (!pattern[1])
				return true;
			for (; *path; path++) {
				if (path_fits(pattern + 1, path))
					return true;
				if (!any && *path == '/')
					return false;
			}
			return false;
		}
		if (*pattern != *path)
			return false;
	}
	return !*path;
}

/* A path that is not known fits: in doubt it is looked for. */
static bool paths_fit(const char **paths, const char *path)
{
	if (!paths || !paths[0] || !path)
		return true;
	for (size_t i = 0; paths[i]; i++)
		if (path_fits(paths[i], path))
			return true;
	return false;
}

bool rule_name_fits(const char *pattern, const char *text)
{
	const char *star = strchr(pattern, '*');
	size_t head = star ? (size_t)(star - pattern) : strlen(pattern);

	if (strncmp(pattern, text, head) != 0)
		return false;
	if (!star)
		return !text[head];
	for (text += head; *text; text++)
		if (rule_name_fits(star + 1, text))
			return true;
	return !star[1];
}

enum dlp_action rule_action(const struct dlp_rules *rules, const struct rule *rule, const char *path, struct view value)
{
	enum dlp_action action = rule->action;

	if (!paths_fit(rule->paths, path))
		return DLP_NONE;
	for (size_t i = 0; i < rules->amendment_count; i++) {
		const struct amendment *amendment = &rules->amendments[i];

		/* What takes away from a rule needs a path that is known to fit. */
		if (amendment->turn < rule->turn || !rule_name_fits(amendment->id, rule->id) ||
		    !paths_fit(amendment->paths, path) ||
		    (amendment->paths[0] && !path && (amendment->allowed || amendment->action < action)))
			continue;
		if (is_allowed(amendment->allowed, value))
			action = DLP_NONE;
		else if (amendment->acts)
			action = amendment->action;
	}
	return action;
}

static bool keyword_is_near(const struct rule *rule, struct view text, size_t from, size_t to)
{
	size_t begin = from > NEAR_BYTES ? from - NEAR_BYTES : 0;
	size_t end = text.length - to > NEAR_BYTES ? to + NEAR_BYTES : text.length;

	for (size_t i = 0; rule->keywords[i]; i++)
		if (contains_nocase(view_make(text.at + begin, end - begin), rule->keywords[i]))
			return true;
	return !rule->keywords[0];
}

bool rule_confirm(const struct rule *rule, struct view text, size_t from, size_t until, struct span *value, unsigned *tries)
{
	struct thread *thread = thread_get();
	const PCRE2_SIZE *ends;
	size_t at = from, begin, end;

	while (at < until) {
		int matched = pcre2_match(rule->code, (PCRE2_SPTR)text.at, text.length, at, PCRE2_NOTEMPTY, thread->match,
					  thread->context);

		if (matched == PCRE2_ERROR_NOMATCH)
			return false;
		if (matched < 0 || ++*tries > CONFIRM_TRIES_MAX) {
			*value = (struct span){at, until}; /* what cannot be judged is a finding */
			return true;
		}
		ends = pcre2_get_ovector_pointer(thread->match);
		if (ends[0] >= until)
			return false;
		begin = ends[0];
		end = ends[1];
		*value = (struct span){begin, end};
		/* A group that took no part: the whole. */
		if (rule->group < (unsigned)matched && ends[2 * rule->group] != PCRE2_UNSET)
			*value = (struct span){ends[2 * rule->group], ends[2 * rule->group + 1]};
		if (value_passes(rule, view_make(text.at + value->from, value->to - value->from)) &&
		    keyword_is_near(rule, text, begin, end))
			return true;
		at = value->from > begin ? value->from : begin + 1;
	}
	return false;
}

/* A thread's own */

static pthread_key_t thread_key;
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;
static _Thread_local struct thread *thread_own;

static void thread_free(void *pointer)
{
	struct thread *thread = pointer;

	for (size_t i = 0; i < THREAD_STREAMS; i++)
		if (thread->streams[i].stream)
			(void)hs_close_stream(thread->streams[i].stream, NULL, NULL, NULL);
	(void)hs_free_scratch(thread->scratch);
	pcre2_match_data_free(thread->match);
	pcre2_match_context_free(thread->context);
	pcre2_jit_stack_free(thread->stack);
	free(thread);
	thread_own = NULL;
}

static void thread_key_make(void)
{
	if (pthread_key_create(&thread_key, thread_free))
		abort();
}

struct thread *thread_get(void)
{
	if (thread_own)
		return thread_own;
	(void)pthread_once(&thread_once, thread_key_make);
	thread_own = mem_new(sizeof *thread_own);
	thread_own->match = pcre2_match_data_create(100, NULL);
	thread_own->context = pcre2_match_context_create(NULL);
	thread_own->stack = pcre2_jit_stack_create((size_t)32 << 10, (size_t)512 << 10, NULL);
	if (!thread_own->match || !thread_own->context || !thread_own->stack || pthread_setspecific(thread_key, thread_own))
		abort();
	pcre2_jit_stack_assign(thread_own->context, NULL, thread_own->stack);
	(void)pcre2_set_match_limit(thread_own->context, MATCH_LIMIT);
	return thread_own;
}

hs_scratch_t *thread_scratch(struct thread *thread, uint64_t serial, const hs_database_t *database)
{
	for (size_t i = 0; i < ARRAY_LEN(thread->fits); i++)
		if (thread->fits[i] == serial)
			return thread->scratch;
	if (hs_alloc_scratch(database, &thread->scratch) != HS_SUCCESS)
		return NULL;
	thread->fits[thread->fits_next++ % ARRAY_LEN(thread->fits)] = serial;
	return thread->scratch;
}

hs_stream_t *thread_stream(uint64_t serial, const hs_database_t *database)
{
	struct thread *thread = thread_get();
	hs_stream_t *stream = NULL;

	for (size_t i = 0; i < THREAD_STREAMS; i++)
		if (thread->streams[i].stream && thread->streams[i].serial == serial) {
			stream = thread->streams[i].stream;
			thread->streams[i].stream = NULL;
			return stream;
		}
	return hs_open_stream(database, 0, &stream) == HS_SUCCESS ? stream : NULL;
}

void thread_stream_put(uint64_t serial, hs_stream_t *stream, bool ended)
{
	struct thread *thread;
	size_t place;

	if (!stream)
		return;
	thread = thread_get();
	place = thread->streams_next++ % THREAD_STREAMS;
	if (!ended && hs_reset_stream(stream, 0, NULL, NULL, NULL) != HS_SUCCESS) {
		(void)hs_close_stream(stream, NULL, NULL, NULL);
		return;
	}
	for (size_t i = 0; i < THREAD_STREAMS; i++)
		if (!thread->streams[i].stream)
			place = i;
	if (thread->streams[place].stream)
		(void)hs_close_stream(thread->streams[place].stream, NULL, NULL, NULL);
	thread->streams[place].serial = serial;
	thread->streams[place].stream = stream;
}
