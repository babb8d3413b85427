/* Lines of /etc/passwd and /etc/group, which the image's maker wrote: bounded, and trusted with nothing but the room. */
#include "sandbox/init/user.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define FIELDS_MAX 8
#define NAME_MAX_BYTES 128

struct field {
	const char *at;
	size_t length;
};

/* The fields of a line, and where the next begins; NULL after the last. */
static const char *line_cut(const char *line, struct field fields[FIELDS_MAX])
{
	const char *end = strchrnul(line, '\n');

	memset(fields, 0, FIELDS_MAX * sizeof(fields[0]));
	for (size_t i = 0; i < FIELDS_MAX && line <= end; i++) {
		const char *colon = memchr(line, ':', (size_t)(end - line));

		fields[i] = (struct field){line, (size_t)((colon ? colon : end) - line)};
		line = (colon ? colon : end) + 1;
	}
	return *end ? end + 1 : NULL;
}

static bool field_is(struct field field, const char *text)
{
	return field.at && strlen(text) == field.length && memcmp(field.at, text, field.length) == 0;
}

static bool number_read(const char *at, size_t length, uint32_t *number)
{
	uint64_t value = 0;

	for (size_t i = 0; i < length; i++) {
		if (at[i] < '0' || at[i] > '9' || (value = value * 10 + (uint64_t)(at[i] - '0')) >= UINT32_MAX)
			return false;
	}
	*number = (uint32_t)value;
	return length > 0;
}

static bool field_number(struct field field, uint32_t *number)
{
	return field.at && number_read(field.at, field.length, number);
}

static void field_copy(char *to, size_t size, struct field field)
{
	(void)snprintf(to, size, "%.*s", (int)(field.length < size ? field.length : 0), field.at ? field.at : "");
}

/* Its line of /etc/passwd, by name or by number. */
static bool account_find(const char *wanted, const char *passwd, struct user *user, char name[NAME_MAX_BYTES])
{
	uint32_t number = 0, uid = 0, gid = 0;
	bool is_number = number_read(wanted, strlen(wanted), &number);
	struct field fields[FIELDS_MAX];

	for (const char *line = passwd; line;) {
		line = line_cut(line, fields);
		if (!field_number(fields[2], &uid) || !field_number(fields[3], &gid))
			continue;
		if (!field_is(fields[0], wanted) && !(is_number && uid == number))
			continue;
		user->uid = uid;
		user->gid = gid;
		field_copy(name, NAME_MAX_BYTES, fields[0]);
		if (fields[5].length)
			field_copy(user->home, sizeof(user->home), fields[5]);
		return true;
	}
	user->uid = number;
	return is_number;
}

static bool group_find(const char *wanted, const char *group, gid_t *gid)
{
	struct field fields[FIELDS_MAX];
	uint32_t number;

	for (const char *line = group; line;) {
		line = line_cut(line, fields);
		if (field_is(fields[0], wanted) && field_number(fields[2], &number)) {
			*gid = number;
			return true;
		}
	}
	if (!number_read(wanted, strlen(wanted), &number))
		return false;
	*gid = number;
	return true;
}

static bool is_member(struct field members, const char *name)
{
	for (const char *at = members.at, *end = at + members.length; at && at < end;) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		struct field one = {at, (size_t)((comma ? comma : end) - at)};

		if (field_is(one, name))
			return true;
		at += one.length + 1;
	}
	return false;
}

static void groups_find(const char *name, const char *group, struct user *user)
{
	struct field fields[FIELDS_MAX];
	uint32_t number;

	for (const char *line = group; line && user->group_count < USER_GROUPS_MAX;) {
		line = line_cut(line, fields);
		if (field_number(fields[2], &number) && fields[3].at && is_member(fields[3], name))
			user->groups[user->group_count++] = number;
	}
}

bool user_find(const char *wanted, const char *passwd, const char *group, struct user *user)
{
	const char *colon = strchrnul(wanted, ':');
	char account[NAME_MAX_BYTES], name[NAME_MAX_BYTES] = "";

	*user = (struct user){.home = "/"};
	if (colon - wanted >= NAME_MAX_BYTES)
		return false;
	(void)snprintf(account, sizeof(account), "%.*s", (int)(colon - wanted), wanted);
	if (!account_find(account, passwd, user, name))
		return false;
	if (*colon)
		return group_find(colon + 1, group, &user->gid);
	if (*name)
		groups_find(name, group, user);
	return true;
}
