/*
 * What an image says of its program holds where the blueprint says nothing: its variables below the blueprint's; its program, folder and
 * user for a service without `run`; its user, when it names one, for `run` too.
 */
#include "sandbox/environment_priv.h"

#include <stdlib.h>

#include "base/scope.h"

#define ROOT_USER "0" /* who runs an image's own program that names nobody */

int member_image_load(struct environment *env, struct member *member, struct err *err)
{
	const char *image = member->service ? member->service->image : NULL;
	json_t *said, *before;

	if (!image)
		return 0;
	said = provider_image_describe(env->all->provider, image, err);
	if (!said)
		return -1;
	(void)pthread_mutex_lock(&env->mutex);
	before = member->image;
	member->image = said;
	(void)pthread_mutex_unlock(&env->mutex);
	json_decref(before);
	return 0;
}

json_t *member_image(struct environment *env, const struct member *member)
{
	json_t *said;

	(void)pthread_mutex_lock(&env->mutex);
	said = json_incref(member->image);
	(void)pthread_mutex_unlock(&env->mutex);
	return said;
}

/* The texts of a list, NULL-terminated; the array is the caller's, the texts are the list's. */
static const char **texts_of(const json_t *list)
{
	const char **texts = mem_new_array(json_array_size(list) + 1, sizeof(*texts));
	size_t index;
	json_t *text;

	json_array_foreach(list, index, text)
		texts[index] = json_string_value(text);
	return texts;
}

int member_start_service(struct environment *env, struct member *member, struct err *err)
{
	const struct service *service = member->service;
	AUTO_JSON image = member_image(env, member);
	AUTO_FREE const char **own = texts_of(json_member(image, "command"));
	AUTO_FREE char *dir = text_format(WORKSPACE_PATH "/%s", service->dir ? service->dir : ".");
	const char *user = json_text(image, "user", NULL);
	const char *held[4];

	if (member_clock_put(env, member, err))
		return -1;
	if (command_is_set(&service->run))
		return member_start_argv(env, member, command_argv(&service->run, held), dir, user, err);
	if (!own[0])
		return err_set(err, ERR_INVALID, "%s: the image %s names no program: say `run`", member->name, service->image);
	return member_start_argv(env, member, own, service->dir ? dir : json_text(image, "dir", "/"), user ? user : ROOT_USER, err);
}
