/* A scripted API server for a test. */
#include "kubernetes_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/process.h"
#include "base/scope.h"

#define END_MS 60000

static bool line_read(int fd, char *line, size_t size)
{
	size_t length = 0;

	while (length + 1 < size && read(fd, line + length, 1) == 1)
		if (line[length++] == '\n') {
			line[length - 1] = '\0';
			return true;
		}
	return false;
}

static bool is_there(const char *source)
{
	AUTO_FREE char *client = text_format("%s/tests/kubernetes/node_modules/@kubernetes/client-node", source);

	if (file_is_dir(client))
		return true;
	print_message("no @kubernetes/client-node: npm ci in tests/kubernetes brings it: skipped\n");
	return false;
}

bool cluster_begin(struct cluster *cluster, const char *folder, const struct http_tls *tls)
{
	const char *root = getenv("ASSAY_SOURCE_ROOT");
	const char *source = root ? root : ".";
	AUTO_FREE char *program = text_format("%s/tests/kubernetes/api.mjs", source);
	AUTO_FREE char *paths = text_format("PATH=%s", getenv("PATH"));
	const char *const argv[] = {"node", program, folder, NULL};
	const char *const env[] = {paths, "UNTIL_STDIN_ENDS=1", getenv("KUBELET_LOG") ? "KUBELET_LOG=1" : NULL, NULL};
	struct err err = {0};
	int out[2], life[2];
	char line[64];
	bool told;
	pid_t pid;

	if (!is_there(source))
		return false;
	*cluster = (struct cluster){.pid_fd = -1, .tls = tls};
	if (pipe2(out, O_CLOEXEC) || pipe2(life, O_CLOEXEC))
		return false;
	if (process_start(argv, env, (const int[]){life[0], out[1], STDERR_FILENO}, 3, &pid, &cluster->pid_fd, &err)) {
		print_message("%s: skipped\n", err.text);
		return false;
	}
	(void)close(out[1]);
	(void)close(life[0]);
	cluster->life = life[1];
	told = line_read(out[0], line, sizeof(line));
	(void)close(out[0]);
	if (!told)
		fail_msg("the scripted API server did not start");
	cluster->base = text_copy(line);
	cluster->config = cluster_config(cluster, "", "");
	cluster->client = kube_client_open(cluster->config, world_real);
	return true;
}

void cluster_end(struct cluster *cluster)
{
	int status;

	kube_client_close(cluster->client);
	kube_config_free(cluster->config);
	if (cluster->pid_fd >= 0) {
		(void)close(cluster->life);
		assert_int_equal(process_wait(cluster->pid_fd, END_MS, &status, NULL), 0);
		(void)close(cluster->pid_fd);
	}
	free(cluster->base);
	*cluster = (struct cluster){.pid_fd = -1};
}

struct kube_config *cluster_config(const struct cluster *cluster, const char *more_cluster, const char *more_user)
{
	AUTO_FREE char *text = text_format("clusters: [{name: c, cluster: {server: '%s'%s}}]\nusers: [{name: u, user: {%s}}]\n"
					   "contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n",
					   cluster->base, more_cluster, more_user);
	struct kube_text file = {"kubeconfig", view_of(text)};
	struct err err = {0};
	struct kube_config *config = kube_config_parse(&file, 1, NULL, false, &err);

	if (!config)
		fail_msg("%s", err.text);
	return config;
}

static json_t *ask(struct cluster *cluster, const char *what, struct view body)
{
	AUTO_FREE char *url = text_format("%s/_/%s", cluster->base, what);
	const struct http_call call = {.url = url, .tls = cluster->tls, .body = body, .has_body = true};
	AUTO_RESPONSE response = {0};
	struct err err = {0};
	json_t *json;

	if (http_client_call(&call, &response, &err))
		fail_msg("%s", err.text);
	json = json_parse(buf_view(&response.body), &err);
	if (!json || response.status != 200)
		fail_msg("%s: %u %s", what, response.status, buf_view(&response.body).at);
	return json;
}

void cluster_act(struct cluster *cluster, const char *what, const char *format, ...)
{
	AUTO_FREE char *text = NULL;
	AUTO_JSON done = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		abort();
	va_end(arguments);
	done = ask(cluster, what, view_of(text));
}

json_t *cluster_state(struct cluster *cluster)
{
	return ask(cluster, "state", VIEW("{}"));
}

size_t cluster_count(struct cluster *cluster, const char *prefix)
{
	AUTO_JSON state = cluster_state(cluster);
	size_t count = 0;
	size_t index;
	json_t *object;

	json_array_foreach(json_member(state, "objects"), index, object)
		count += strncmp(json_text(object, "path", ""), prefix, strlen(prefix)) == 0;
	return count;
}

void cluster_unwrong(struct cluster *cluster)
{
	AUTO_JSON state = cluster_state(cluster);
	const json_t *wrong = json_member(state, "wrong");

	for (size_t i = 0; i < json_array_size(wrong); i++)
		print_message("wrong: %s\n", json_string_value(json_array_get(wrong, i)));
	assert_int_equal(json_array_size(wrong), 0);
}
