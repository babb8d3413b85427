/*
 * The provider of sandboxes, chosen and opened.
 *
 * At a cluster a control plane is known by its vault's key: the label by which its environments are found is the same after each start, and no other
 * control plane's. With several clusters each has a port at which its pods come in. Pods trust a certificate that signs itself, kept in the state with its
 * key: those that wait for us know us again.
 */
#include "programs/serve_sandboxes.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "http/url.h"
#include "net/identity.h"
#include "programs/config.h"
#include "programs/doctor.h"
#include "programs/serve_priv.h"
#include "sandbox/kubernetes/check.h"
#include "sandbox/kubernetes/fleet.h"
#include "sandbox/local/local.h"

#define LISTEN_DEFAULT "0.0.0.0:7430"
#define LINK_NAME "assay.internal" /* that the certificate is for: nobody asks a name server for it */
#define IDENTITY_BYTES_MAX ((size_t)64 << 10)
#define OWNER_DIGITS 16
#define POD_LIFE_MS ((int64_t)72 * 3600 * 1000)
#define GIB ((int64_t)1 << 30)

/* One cluster. */
struct site {
	char *context; /* of the kubeconfig; NULL: its current one */
	struct kube_config *config;
	struct kube_client *client;
	struct kube_cluster_options options;
	struct provider provider;
	char *listen, *address, *cidr;
};

struct serve_sandboxes {
	struct provider provider;
	char *state_dir;
	/* of clusters */
	struct site sites[KUBE_FLEET_MAX];
	size_t site_count; /* 0: there is none */
	struct buf identity;
	char *owner, *authority, *peer;
};

/* ---- which clusters ---- */

/* The contexts that are named, one after the other; *at moves on. Owned by the caller; NULL: no more. */
static char *context_next(const char **at)
{
	const char *begin = *at + strspn(*at, " \t,");
	size_t length = strcspn(begin, " \t,");

	*at = begin + length;
	return length ? view_copy(view_make(begin, length)) : NULL;
}

/* Their count, at most KUBE_FLEET_MAX; without a name it is one. */
static int contexts_take(struct serve_sandboxes *self, struct err *err)
{
	const char *at = serve_setting("ASSAY_KUBERNETES_CONTEXT");
	char *name;

	while (at && (name = context_next(&at))) {
		for (size_t i = 0; i < self->site_count; i++)
			if (strcmp(self->sites[i].context, name) == 0) {
				(void)err_set(err, ERR_INVALID, "kubernetes-context: %.200s is named twice", name);
				free(name);
				return -1;
			}
		if (self->site_count == KUBE_FLEET_MAX) {
			free(name);
			return err_set(err, ERR_INVALID, "kubernetes-context: at most %d clusters", KUBE_FLEET_MAX);
		}
		self->sites[self->site_count++].context = name;
	}
	if (!self->site_count)
		self->site_count = 1;
	return self->site_count > 1 && serve_setting("ASSAY_KUBERNETES_PODS")
		       ? err_set(err, ERR_INVALID,
				 "kubernetes-pods: the control plane is a pod of one cluster, and there are %zu: say kubernetes-address alone",
				 self->site_count)
		       : 0;
}

/* ---- where pods come in ---- */

/* "192.0.2.7" of "192.0.2.7:7430", "2001:db8::7" of "[2001:db8::7]:7430": as `text`. */
static int address_split(const char *address, char text[INET6_ADDRSTRLEN], int *port, struct err *err)
{
	const char *colon = strrchr(address, ':');
	bool six = address[0] == '[';
	struct view host = colon ? view_make(address + six, (size_t)(colon - address) - (six ? 2 : 0)) : VIEW("");
	unsigned char bytes[sizeof(struct in6_addr)];
	uint64_t number = 0;

	if (!colon || (six && colon[-1] != ']') || host.length >= INET6_ADDRSTRLEN || !view_to_u64(view_of(colon + 1), &number) ||
	    number < 1 || number > 65535)
		return err_set(err, ERR_INVALID, "kubernetes-address: expected ADDRESS:PORT, not `%.100s`", address);
	(void)snprintf(text, INET6_ADDRSTRLEN, "%.*s", (int)host.length, host.at);
	if (inet_pton(six ? AF_INET6 : AF_INET, text, bytes) != 1)
		return err_set(err, ERR_INVALID,
			       "kubernetes-address: `%.100s` is no address in numbers, and pods have nobody to ask for a name",
			       text);
	*port = (int)number;
	return 0;
}

static int towards_resolved(const struct addrinfo *to, char text[INET6_ADDRSTRLEN], struct err *err)
{
	AUTO_CLOSE int fd = socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_storage own;
	socklen_t length = sizeof(own);

	if (fd < 0 || connect(fd, to->ai_addr, to->ai_addrlen) || getsockname(fd, (struct sockaddr *)&own, &length) ||
	    getnameinfo((struct sockaddr *)&own, length, text, INET6_ADDRSTRLEN, NULL, 0, NI_NUMERICHOST))
		return err_set(err, ERR_RETRY, "this machine has no way to the cluster: say kubernetes-address");
	return 0;
}

/* The address that this machine has towards the API server: pods are likely to reach it, too. */
static int address_towards(const char *server, char text[INET6_ADDRSTRLEN], struct err *err)
{
	static const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
	AUTO_FREE char *host = NULL;
	struct addrinfo *found = NULL;
	char port[8];
	struct url url;
	int status;

	if (url_parse(view_of(server), &url, err))
		return err_prefix(err, "the cluster's address");
	host = view_copy(url.host);
	(void)snprintf(port, sizeof(port), "%u", (unsigned)url.port);
	status = getaddrinfo(host, port, &hints, &found);
	if (status)
		return err_set(err, ERR_RETRY, "the cluster's address %.200s: %s: say kubernetes-address", host,
			       gai_strerror(status));
	status = towards_resolved(found, text, err);
	freeaddrinfo(found);
	return status;
}

/* The port of an address, so many higher; owned by the caller, NULL: there is none so high. */
static char *port_shifted(const char *address, size_t by, struct err *err)
{
	const char *colon = strrchr(address, ':');
	uint64_t port = 0;

	if (!colon || !view_to_u64(view_of(colon + 1), &port) || (port && port + by > 65535)) {
		(void)err_set(err, ERR_INVALID, "%.200s has no port for each of the clusters", address);
		return NULL;
	}
	return text_format("%.*s%llu", (int)(colon + 1 - address), address, (unsigned long long)(port ? port + by : 0));
}

/* Each cluster's pods come in at a port of their own. */
static int address_choose(const struct serve_sandboxes *self, struct site *site, struct err *err)
{
	const char *listen = serve_setting("ASSAY_KUBERNETES_LISTEN");
	const char *given = serve_setting("ASSAY_KUBERNETES_ADDRESS");
	size_t by = (size_t)(site - self->sites);
	AUTO_FREE char *own = port_shifted(listen ? listen : LISTEN_DEFAULT, by, err);
	char text[INET6_ADDRSTRLEN];
	int port = 0;

	site->listen = own ? address_take("kubernetes-listen", own, err) : NULL;
	if (!site->listen)
		return -1;
	if (!given) {
		if (address_towards(site->config->server, text, err))
			return -1;
		site->address = text_format(strchr(text, ':') ? "[%s]%s" : "%s%s", text, strrchr(site->listen, ':'));
	} else {
		site->address = port_shifted(given, by, err);
	}
	if (!site->address || address_split(site->address, text, &port, err))
		return -1;
	site->cidr = text_format("%s/%d", text, strchr(text, ':') ? 128 : 32);
	site->options.peer = (struct kube_peer){.cidr = site->cidr, .port = port};
	return 0;
}

/* "NAMESPACE/LABEL=VALUE", whose label may have a slash of its own; `text` is cut into the three. */
static int peer_split(char *text, struct kube_peer *peer, struct err *err)
{
	char *label = strchr(text, '/');
	char *value = label ? strchr(label, '=') : NULL;

	if (!value || label == text || value == label + 1 || !value[1])
		return err_set(err, ERR_INVALID, "kubernetes-pods: expected NAMESPACE/LABEL=VALUE, not `%.100s`", text);
	*label++ = *value++ = '\0';
	*peer = (struct kube_peer){.space = text, .label = label, .value = value};
	return 0;
}

static int peer_choose(struct serve_sandboxes *self, struct site *site, struct err *err)
{
	const char *given = serve_setting("ASSAY_KUBERNETES_PODS");

	if (!given)
		return 0;
	self->peer = text_copy(given);
	if (peer_split(self->peer, &site->options.peer, err))
		return -1;
	site->options.peer.port = atoi(strrchr(site->listen, ':') + 1);
	return 0;
}

/* ---- who we are to pods ---- */

static int identity_take(struct serve_sandboxes *self, struct err *err)
{
	AUTO_FREE char *folder = text_format("%s/kubernetes", self->state_dir);
	AUTO_FREE char *path = text_format("%s/link.pem", folder);
	struct view public;

	self->identity = buf_new(IDENTITY_BYTES_MAX);
	if (file_make_dirs(folder, 0700, err))
		return -1;
	if (file_exists(path)
		    ? file_read(path, &self->identity, err)
		    : identity_make(LINK_NAME, &self->identity, err) || file_replace(path, buf_view(&self->identity), 0600, err))
		return -1;
	public = identity_public(buf_view(&self->identity));
	if (!public.length)
		return err_set(err, ERR_BROKEN, "%s is no certificate: remove it for a new one, which new pods will know", path);
	self->authority = view_copy(public);
	return 0;
}

static int owner_take(struct serve_sandboxes *self, const struct serve_sandboxes_options *given, struct err *err)
{
	unsigned char signature[64];
	char key_id[65];

	if (given->owner) {
		self->owner = text_copy(given->owner);
		return 0;
	}
	if (vault_sign(given->vault, VIEW("assay key id"), signature, key_id, err))
		return -1;
	self->owner = text_format("assay-%.*s", OWNER_DIGITS, key_id);
	return 0;
}

/* ---- opening ---- */

/* What can be said of the settings without touching anything. */
static int settings_check(const char *provider, struct err *err)
{
	const char *address = serve_setting("ASSAY_KUBERNETES_ADDRESS");
	const char *pods = serve_setting("ASSAY_KUBERNETES_PODS");
	AUTO_FREE char *cut = pods ? text_copy(pods) : NULL;
	char text[INET6_ADDRSTRLEN];
	struct kube_peer peer;
	int port;

	if (provider && strcmp(provider, "local") != 0 && strcmp(provider, "kubernetes") != 0)
		return err_set(err, ERR_INVALID, "provider: expected local or kubernetes, not `%.60s`", provider);
	if (!provider || strcmp(provider, "local") == 0)
		return 0;
	if (!serve_setting("ASSAY_KUBERNETES_ASSAY_IMAGE"))
		return err_set(
			err, ERR_INVALID,
			"kubernetes-assay-image: say by what name the cluster's nodes find Assay's own image (deploy/image makes it)");
	return (address && address_split(address, text, &port, err)) || (cut && peer_split(cut, &peer, err)) ? -1 : 0;
}

int serve_sandboxes_check(const char *provider, struct err *err)
{
	struct serve_sandboxes *self;
	int failed;

	if (settings_check(provider, err))
		return -1;
	if (!provider || strcmp(provider, "local") == 0)
		return 0;
	self = mem_new(sizeof(*self));
	failed = contexts_take(self, err);
	for (size_t i = 0; i < self->site_count && !failed; i++) {
		self->sites[i].config = kube_config_find(self->sites[i].context, err);
		failed = self->sites[i].config ? 0 : -1;
	}
	serve_sandboxes_close(self);
	return failed;
}

static int site_open(struct serve_sandboxes *self, struct site *site, struct err *err)
{
	struct kube_cluster_options *options = &site->options;
	const char *image = serve_setting("ASSAY_KUBERNETES_IMAGE");
	const char *spread = serve_setting("ASSAY_KUBERNETES_SPREAD");

	options->rooms.image = serve_setting("ASSAY_KUBERNETES_ASSAY_IMAGE");
	site->config = kube_config_find(site->context, err);
	if (!site->config)
		return -1;
	site->client = kube_client_open(site->config, world_real);
	if (address_choose(self, site, err) || peer_choose(self, site, err))
		return -1;
	options->name = self->site_count > 1 ? site->context : NULL;
	options->site = (struct kube_site){.client = site->client,
					   .world = world_real,
					   .owner = self->owner,
					   .snapshot_class = serve_setting("ASSAY_KUBERNETES_SNAPSHOT_CLASS")};
	options->rooms.address = site->address;
	options->rooms.name = LINK_NAME;
	options->rooms.authority = self->authority;
	options->rooms.storage_class = serve_setting("ASSAY_KUBERNETES_STORAGE_CLASS");
	options->rooms.queue = serve_setting("ASSAY_KUBERNETES_QUEUE");
	options->rooms.priority = serve_setting("ASSAY_KUBERNETES_PRIORITY");
	options->rooms.life_ms = config_number("kubernetes-pod-life", POD_LIFE_MS);
	options->rooms.spread = spread && strcmp(spread, "true") == 0;
	options->state_dir = self->state_dir;
	options->image = image ? image : options->rooms.image;
	options->listen = site->listen;
	options->identity = buf_view(&self->identity);
	options->claim_bytes = config_number("kubernetes-volume-gib", 0) * GIB;
	return kube_cluster_open(options, &site->provider, err);
}

static int clusters_open(struct serve_sandboxes *self, const struct serve_sandboxes_options *given, struct err *err)
{
	struct kube_fleet_member members[KUBE_FLEET_MAX];

	if (contexts_take(self, err) || identity_take(self, err) || owner_take(self, given, err))
		return -1;
	for (size_t i = 0; i < self->site_count; i++) {
		if (site_open(self, &self->sites[i], err))
			return self->site_count > 1 ? err_prefix(err, "cluster %s", self->sites[i].context) : -1;
		members[i] = (struct kube_fleet_member){self->sites[i].context, self->sites[i].provider};
	}
	if (self->site_count > 1)
		return kube_fleet_open(members, self->site_count, self->state_dir, world_real, &self->provider, err);
	self->provider = self->sites[0].provider;
	return 0;
}

int serve_sandboxes_open(const struct serve_sandboxes_options *options, struct serve_sandboxes **sandboxes, struct err *err)
{
	struct local_options local = {.state_dir = options->state_dir, .runtime = options->oci};
	const char *provider = options->provider ? options->provider : "local";
	struct serve_sandboxes *self;
	int failed;

	if (settings_check(provider, err))
		return -1;
	self = mem_new(sizeof(*self));
	self->state_dir = text_copy(options->state_dir);
	failed = strcmp(provider, "local") == 0 ? local_provider_open(&local, &self->provider, err)
						: clusters_open(self, options, err);
	if (failed) {
		self->provider.ops = NULL;
		serve_sandboxes_close(self);
		return -1;
	}
	*sandboxes = self;
	return 0;
}

struct provider serve_sandboxes_provider(const struct serve_sandboxes *sandboxes)
{
	return sandboxes->provider;
}

const struct kube_site *serve_sandboxes_site(const struct serve_sandboxes *sandboxes)
{
	return sandboxes->site_count ? &sandboxes->sites[0].options.site : NULL;
}

const char *serve_sandboxes_name(const char *provider)
{
	return provider && strcmp(provider, "kubernetes") == 0 ? "cluster" : "keeper";
}

/* One cluster that answers is enough. */
int serve_sandboxes_look(const struct serve_sandboxes *sandboxes, struct err *err)
{
	if (!sandboxes->site_count)
		return local_provider_look(sandboxes->provider, err);
	for (size_t i = 0; i < sandboxes->site_count; i++)
		if (kube_cluster_look(sandboxes->sites[i].provider, err) == 0)
			return 0;
	return -1;
}

json_t *serve_sandboxes_doctor(const struct serve_sandboxes *sandboxes)
{
	AUTO_JSON all = json_array();

	if (!sandboxes->site_count)
		return doctor_items(sandboxes->state_dir);
	for (size_t i = 0; i < sandboxes->site_count; i++) {
		AUTO_JSON rows = kube_check(&sandboxes->sites[i].options.site);
		size_t index;
		json_t *row;

		if (sandboxes->site_count > 1)
			json_array_foreach(rows, index, row)
				(void)json_object_set_new(
					row, "check",
					json_sprintf("%s: %s", sandboxes->sites[i].context, json_text(row, "check", "")));
		(void)json_array_extend(all, rows);
	}
	return doctor_items_of(all);
}

static void site_close(struct site *site)
{
	if (site->provider.ops)
		kube_cluster_close(site->provider);
	kube_client_close(site->client);
	kube_config_free(site->config);
	free(site->context);
	free(site->listen);
	free(site->address);
	free(site->cidr);
}

void serve_sandboxes_close(struct serve_sandboxes *sandboxes)
{
	if (!sandboxes)
		return;
	if (sandboxes->provider.ops && !sandboxes->site_count)
		local_provider_close(sandboxes->provider);
	else if (sandboxes->provider.ops && sandboxes->site_count > 1)
		kube_fleet_close(sandboxes->provider);
	for (size_t i = 0; i < sandboxes->site_count; i++)
		site_close(&sandboxes->sites[i]);
	if (sandboxes->identity.at)
		explicit_bzero(sandboxes->identity.at, sandboxes->identity.length);
	buf_fini(&sandboxes->identity);
	free(sandboxes->owner);
	free(sandboxes->authority);
	free(sandboxes->peer);
	free(sandboxes->state_dir);
	free(sandboxes);
}
