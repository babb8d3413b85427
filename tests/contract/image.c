/*
 * Services whose root is an OCI image, made here by umoci: what the image says of its program holds where the blueprint says nothing.
 * Needs root, skopeo and umoci.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "fixture.h"
#include "sandbox/environment.h"
#include "sandbox/local/keeper.h"
#include "sandbox/local/local.h"

#define SKIPPED 77
#define WAIT_STEPS 400
#define WAIT_STEP_US 50000

static char state_dir[] = "/tmp/assay-image-XXXXXX";
static char *repository;
static struct git_hash first;
static struct provider provider;
static struct environments *environments;
static struct env_id env;

/* What each program says of itself, before it sleeps. */
#define SAY                                                                                                                        \
	"echo said: $(id -u) $(id -g) $(id -G) in $PWD, home $HOME, user ${USER-none}, path $PATH, $KIND $COLOUR $ASSAY_SERVICE; " \
	"exec sleep 1000"

/* A root with a shell and a user of its own, and three images of it: one that says everything, one that says its program, one that says
 * nothing. */
static const char image_script[] =
	"exec >%s/log 2>&1; set -e; cd %s; mkdir -p root/bin root/etc root/srv/app origin/sub\n"
	"for tool in sh id sleep touch; do\n"
	"	cp -L $(command -v $tool) root/bin/\n"
	"	for library in $(ldd $(command -v $tool) | grep -o '/[^ ]*'); do\n"
	"		mkdir -p root${library%%/*}; cp -nL $library root$library\n"
	"	done\n"
	"done\n"
	"echo root:x:0:0::/root:/bin/sh >root/etc/passwd; echo web:x:4711:4712::/srv/app:/bin/sh >>root/etc/passwd\n"
	"echo web:x:4712: >root/etc/group; echo extra:x:4713:web >>root/etc/group; chown 4711:4712 root/srv/app\n"
	"umoci init --layout lay\n"
	"for tag in all plain none; do umoci new --image lay:$tag; umoci insert --image lay:$tag root /; done\n"
	"umoci config --image lay:all --config.user web --config.workingdir /srv/app --config.env KIND=image --config.env COLOUR=red "
	"--config.env PATH=/own/bin:/bin --config.entrypoint /bin/sh --config.entrypoint -c --config.cmd \"touch mine && $SAY\"\n"
	"umoci config --image lay:plain --config.cmd /bin/sh --config.cmd -c --config.cmd \"$SAY\"\n";

static void manager_open(void)
{
	struct err err = {0};
	struct local_options local = {.state_dir = state_dir, .program = fixture_self(), .runtime = getenv("ASSAY_RUNTIME")};
	struct environments_options options = {.state_dir = state_dir, .preview_base = "127.0.0.1:7421", .world = world_real};

	must(local_provider_open(&local, &provider, &err), &err);
	options.provider = provider;
	must(environments_open(&options, &environments, &err), &err);
}

/* What the service said once it was up. */
static char *said_by(const char *service)
{
	struct err err = {0};

	for (int i = 0; i < WAIT_STEPS; i++) {
		AUTO_BUF log = buf_new((size_t)1 << 20);
		const char *line;

		must(environment_logs(environments, env, service, 100, NULL, &log, &err), &err);
		line = log.length ? strstr(log.at, "said: ") : NULL;
		if (line && strchr(line, '\n'))
			return view_copy(view_make(line + 6, strcspn(line, "\n") - 6));
		(void)usleep(WAIT_STEP_US);
	}
	fail_msg("%s says nothing", service);
	return NULL;
}

static void says(const char *service, const char *wanted)
{
	AUTO_FREE char *said = said_by(service);

	assert_string_equal(said, wanted);
}

static void an_image_is_described_by_the_provider(void **state)
{
	AUTO_FREE char *all = text_format("oci:%s/lay:all", state_dir);
	AUTO_FREE char *none = text_format("oci:%s/lay:none", state_dir);
	struct err err = {0};
	AUTO_JSON said = provider_image_describe(provider, all, &err);
	AUTO_JSON nothing = provider_image_describe(provider, none, &err);
	AUTO_JSON host = provider_image_describe(provider, NULL, &err);
	AUTO_JSON folder = provider_image_describe(provider, "dir:/", &err);

	(void)state;
	assert_non_null(said);
	assert_string_equal(json_text(said, "user", ""), "web");
	assert_string_equal(json_text(said, "dir", ""), "/srv/app");
	assert_string_equal(json_string_value(json_array_get(json_member(said, "env"), 1)), "COLOUR=red");
	assert_int_equal(json_array_size(json_member(said, "command")), 3);
	assert_string_equal(json_string_value(json_array_get(json_member(said, "command"), 1)), "-c");
	assert_int_equal(strncmp(json_text(said, "image", ""), "layer:image/", 12), 0);
	assert_non_null(nothing);
	assert_int_equal(json_array_size(json_member(nothing, "command")), 0);
	assert_null(json_member(nothing, "user"));
	assert_int_equal(json_object_size(host), 0);
	assert_int_equal(json_object_size(folder), 0);
	assert_null(provider_image_describe(provider, "oci:/no/such/layout:t", &err));
}

static void without_run_the_images_program_runs_as_its_user_in_its_folder(void **state)
{
	(void)state;
	says("whole", "4711 4712 4712 4713 in /srv/app, home /srv/app, user none, path /own/bin:/bin, image blue whole");
}

static void an_image_that_names_no_user_means_root_of_the_room(void **state)
{
	(void)state;
	says("plain",
	     "0 0 0 in /, home /root, user none, path /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin, plain");
}

static void a_run_of_the_blueprint_wins_over_the_images(void **state)
{
	(void)state;
	says("given", "4711 4712 4712 4713 in /workspace, home /srv/app, user none, path /own/bin:/bin, image red given");
	says("usual", "1000 1000 1000 in /workspace/sub, home /home/assay, user assay, path "
		      "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin, usual");
}

static void an_image_without_a_program_needs_run(void **state)
{
	AUTO_FREE char *blueprint = text_format("version: 1\nname: small\nservices:\n  none: {image: 'oci:%s/lay:none'}\n",
						state_dir);
	struct environment_spec spec = {.repository = repository, .commit = first, .purpose = "test", .blueprint = blueprint};
	struct env_id failed = {{0}};
	struct err err = {0};

	(void)state;
	assert_int_equal(environment_up(environments, &spec, false, (struct progress){0}, &failed, &err), -1);
	assert_non_null(strstr(err.text, "names no program: say `run`"));
}

static void a_user_that_is_not_in_the_image_is_told(void **state)
{
	struct env_id room = env_id_new(world_real);
	struct sandbox_spec spec = {.env = room, .name = "one"};
	const char *argv[] = {"true", NULL}, *variables[] = {"PATH=/bin", NULL};
	struct program_spec program = {.argv = argv, .env = variables, .dir = "/", .user = "nobody-knows", .fds = {-1, -1, -1}};
	struct err err = {0};
	uint32_t process;

	(void)state;
	must(provider_env_make(provider, room, &err), &err);
	must(provider_sandbox_make(provider, &spec, &err), &err);
	assert_int_equal(provider_program_start(provider, room, "one", &program, &process, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_string_equal(err.text, "there is no user `nobody-knows` in sandbox one");
	must(provider_env_remove(provider, room, &err), &err);
}

static char *blueprint_make(void)
{
	return text_format("version: 1\nname: small\nservices:\n"
			   "  whole: {image: 'oci:%s/lay:all', env: {COLOUR: blue}}\n"
			   "  plain: {image: 'oci:%s/lay:plain'}\n"
			   "  given: {image: 'oci:%s/lay:all', run: '%s'}\n"
			   "  usual: {image: 'oci:%s/lay:none', dir: sub, run: '%s'}\n",
			   state_dir, state_dir, state_dir, SAY, state_dir, SAY);
}

static bool images_make(void)
{
	AUTO_FREE char *script = text_format(image_script, state_dir, state_dir);

	return setenv("SAY", SAY, 1) == 0 && system(script) == 0;
}

static int everything_begin(void **state)
{
	AUTO_FREE char *blueprint = NULL;
	struct environment_spec spec = {.purpose = "test"};
	struct err err = {0};

	(void)state;
	if (!mkdtemp(state_dir) || chmod(state_dir, 0755) || !images_make())
		return -1;
	blueprint = blueprint_make();
	struct fixture_file files[] = {{"assay.yaml", blueprint}, {"sub/file", "x"}};

	repository = fixture_repository(state_dir, "small", files, ARRAY_LEN(files), &first);
	manager_open();
	spec.repository = repository;
	spec.commit = first;
	if (environment_up(environments, &spec, false, (struct progress){0}, &env, &err)) {
		print_message("%s\n", err.text);
		return -1;
	}
	return 0;
}

static int everything_end(void **state)
{
	struct err err = {0};

	(void)state;
	must(environment_down(environments, env, &err), &err);
	environments_close(environments);
	local_provider_close(provider);
	free(repository);
	return fixture_remove(state_dir);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_image_is_described_by_the_provider),
		cmocka_unit_test(without_run_the_images_program_runs_as_its_user_in_its_folder),
		cmocka_unit_test(an_image_that_names_no_user_means_root_of_the_room),
		cmocka_unit_test(a_run_of_the_blueprint_wins_over_the_images),
		cmocka_unit_test(an_image_without_a_program_needs_run),
		cmocka_unit_test(a_user_that_is_not_in_the_image_is_told),
	};

	if (access("/usr/bin/skopeo", X_OK) || access("/usr/bin/umoci", X_OK)) {
		printf("1..0 # SKIP images need skopeo and umoci\n");
		return SKIPPED;
	}
	return fixture_main(argc, argv, "image", tests, ARRAY_LEN(tests), everything_begin, everything_end);
}
