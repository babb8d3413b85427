/* The provider of sandboxes on a cluster: opened, closed, and its table. */
#include "sandbox/kubernetes/cluster_priv.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "net/socket.h"

#define LOOK_MS 3000

static json_t *cluster_image_describe(void *self, const char *image, struct err *err)
{
	(void)self;
	(void)err;
	return json_pack("{s:s}", "image", image); /* what more it says is in a registry that only the nodes reach */
}

static const struct provider_ops cluster_ops = {
	.name = "kubernetes",
	.door_mode = DOOR_MODE_PROXY,
	.elsewhere = true,
	.freeze_ends = true,
	.env_make = cluster_env_make,
	.env_remove = cluster_env_remove,
	.env_stop = cluster_env_stop,
	.env_freeze = cluster_env_freeze,
	.env_list = cluster_env_list,
	.volume_make = cluster_volume_make,
	.volume_remove = cluster_volume_remove,
	.volume_commit = cluster_volume_commit,
	.volume_clone = cluster_volume_clone,
	.layer_list = cluster_layer_list,
	.layer_remove = cluster_layer_remove,
	.image_describe = cluster_image_describe,
	.sandbox_make = cluster_sandbox_make,
	.sandbox_remove = cluster_sandbox_remove,
	.sandbox_door = cluster_sandbox_door,
	.program_start = cluster_program_start,
	.program_wait = cluster_program_wait,
	.program_signal = cluster_program_signal,
	.sandbox_dial = cluster_sandbox_dial,
	.sandbox_usage = cluster_sandbox_usage,
	.env_activity = cluster_env_activity,
	.sever = NULL,
};

static void cluster_free(struct cluster *cluster)
{
	while (cluster->spaces) {
		struct space_row *row = cluster->spaces;

		cluster->spaces = row->next;
		free(row);
	}
	(void)pthread_mutex_destroy(&cluster->mutex);
	(void)pthread_cond_destroy(&cluster->changed);
	free(cluster->address);
	free(cluster->folder);
	free(cluster);
}

static void locks_make(struct cluster *cluster)
{
	pthread_condattr_t condition;
	pthread_mutexattr_t mutex;

	/* The mux calls back from within a call of ours: the loop's thread may hold it already. Nobody waits then. */
	(void)pthread_mutexattr_init(&mutex);
	(void)pthread_mutexattr_settype(&mutex, PTHREAD_MUTEX_RECURSIVE);
	(void)pthread_mutex_init(&cluster->mutex, &mutex);
	(void)pthread_mutexattr_destroy(&mutex);
	(void)pthread_condattr_init(&condition);
	(void)pthread_condattr_setclock(&condition, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&cluster->changed, &condition);
	(void)pthread_condattr_destroy(&condition);
}

int kube_cluster_open(const struct kube_cluster_options *options, struct provider *provider, struct err *err)
{
	struct cluster *cluster = mem_new(sizeof(*cluster));

	*cluster = (struct cluster){.options = *options, .site = options->site, .rooms_site = options->rooms, .listen_fd = -1};
	cluster->folder = text_format("%s/kubernetes", options->state_dir);
	cluster->rooms_site.owner = options->site.owner;
	locks_make(cluster);
	if (kube_owner_check(options->site.owner, err) || file_make_dirs(cluster->folder, 0700, err) || links_open(cluster, err)) {
		if (cluster->loop)
			loop_free(cluster->loop);
		tls_side_free(cluster->side);
		scope_close(&cluster->listen_fd);
		cluster_free(cluster);
		return -1;
	}
	cluster->address = options->rooms.address ? text_copy(options->rooms.address)
						  : text_format("127.0.0.1:%d", socket_port(cluster->listen_fd));
	cluster->rooms_site.address = cluster->address;
	leftovers_remove(cluster->folder);
	*provider = (struct provider){&cluster_ops, cluster};
	if (pthread_create(&cluster->watch_thread, NULL, cluster_watcher, cluster)) {
		links_close(cluster);
		cluster_free(cluster);
		return err_set(err, ERR_RETRY, "cannot start the thread of the cluster's watch");
	}
	return 0;
}

void kube_cluster_close(struct provider provider)
{
	struct cluster *cluster = provider.self;

	(void)pthread_mutex_lock(&cluster->mutex);
	cluster->closing = true;
	while (cluster->rooms)
		pod_room_remove(cluster->rooms);
	(void)pthread_mutex_unlock(&cluster->mutex);
	(void)pthread_join(cluster->watch_thread, NULL);
	links_close(cluster);
	cluster_free(cluster);
}

int kube_cluster_find(struct provider provider, struct env_id env, struct err *err)
{
	char space[KUBE_NAME_MAX];
	bool frozen;

	return space_of(provider.self, env, space, &frozen, err);
}

int kube_cluster_look(struct provider provider, struct err *err)
{
	const struct cluster *cluster = provider.self;
	const struct kube_request request = {.method = "GET", .path = "/version", .patience_ms = LOOK_MS};

	return kube_ask(cluster->site.client, &request, NULL, err);
}

int kube_cluster_clone(struct provider from_provider, struct env_id from, struct provider to_provider, struct env_id to,
		       const char *volume, struct err *err)
{
	return volume_copy(from_provider.self, from, to_provider.self, to, volume, err);
}

int kube_cluster_layer_unused(struct provider provider, const char *layer, struct err *err)
{
	return layer_unused(provider.self, layer, err);
}

int kube_cluster_port(struct provider provider)
{
	const struct cluster *cluster = provider.self;

	return socket_port(cluster->listen_fd);
}
