/*
 * The provider of sandboxes, chosen and opened.
 *
 * At a cluster a control plane is known by its vault's key: the label by which its environments are found is the same after each start, and no other
 * control plane's. Pods trust a certificate that signs itself, kept in the state with its key: those that wait for us know us again.
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
#include "sandbox/kubernetes/cluster.h"
#include "sandbox/local/local.h"

#define LISTEN_DEFAULT "0.0.0.0:7430"
#define LINK_NAME "assay.internal" /* that the certificate is for: nobody asks a name server for it */
#define IDENTITY_BYTES_MAX ((size_t)64 << 10)
#define OWNER_DIGITS 16
#define POD_LIFE_MS ((int64_t)72 * 3600 * 1000)
#define GIB ((int64_t)1 << 30)

struct serve_sandboxes {
	struct provider provider;
	char *state_dir;
	/* of a cluster; NULL: there is none */
	struct kube_config *config;
	struct kube_client *client;
	struct kube_cluster_options options;
	struct buf identity;
	char *owner, *authority, *listen, *address, *cidr, *peer;
};

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

static int address_choose(struct serve_sandboxes *self, struct err *err)
{
	const char *listen = serve_setting("ASSAY_KUBERNETES_LISTEN");
	const char *given = serve_setting("ASSAY_KUBERNETES_ADDRESS");
	char text[INET6_ADDRSTRLEN];
	int port = 0;

	self->listen = address_take("kubernetes-listen", listen ? listen : LISTEN_DEFAULT, err);
	if (!self->listen)
		return -1;
	if (!given) {
		if (address_towards(self->config->server, text, err))
			return -1;
		self->address = text_format(strchr(text, ':') ? "[%s]%s" : "%s%s", text, strrchr(self->listen, ':'));
	} else {
		self->address = text_copy(given);
	}
	if (address_split(self->address, text, &port, err))
		return -1;
	self->cidr = text_format("%s/%d", text, strchr(text, ':') ? 128 : 32);
	self->options.peer = (struct kube_peer){.cidr = self->cidr, .port = port};
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

static int peer_choose(struct serve_sandboxes *self, struct err *err)
{
	const char *given = serve_setting("ASSAY_KUBERNETES_PODS");

	if (!given)
		return 0;
	self->peer = text_copy(given);
	if (peer_split(self->peer, &self->options.peer, err))
		return -1;
	self->options.peer.port = atoi(strrchr(self->listen, ':') + 1);
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
	struct kube_config *config;

	if (settings_check(provider, err))
		return -1;
	if (!provider || strcmp(provider, "local") == 0)
		return 0;
	config = kube_config_find(serve_setting("ASSAY_KUBERNETES_CONTEXT"), err);
	kube_config_free(config);
	return config ? 0 : -1;
}

static int cluster_open(struct serve_sandboxes *self, const struct serve_sandboxes_options *given, struct err *err)
{
	struct kube_cluster_options *options = &self->options;
	const char *image = serve_setting("ASSAY_KUBERNETES_IMAGE");
	const char *spread = serve_setting("ASSAY_KUBERNETES_SPREAD");

	options->rooms.image = serve_setting("ASSAY_KUBERNETES_ASSAY_IMAGE");
	self->config = kube_config_find(serve_setting("ASSAY_KUBERNETES_CONTEXT"), err);
	if (!self->config)
		return -1;
	self->client = kube_client_open(self->config, world_real);
	if (address_choose(self, err) || peer_choose(self, err) || identity_take(self, err) || owner_take(self, given, err))
		return -1;
	options->site = (struct kube_site){.client = self->client,
					   .world = world_real,
					   .owner = self->owner,
					   .snapshot_class = serve_setting("ASSAY_KUBERNETES_SNAPSHOT_CLASS")};
	options->rooms.address = self->address;
	options->rooms.name = LINK_NAME;
	options->rooms.authority = self->authority;
	options->rooms.storage_class = serve_setting("ASSAY_KUBERNETES_STORAGE_CLASS");
	options->rooms.queue = serve_setting("ASSAY_KUBERNETES_QUEUE");
	options->rooms.priority = serve_setting("ASSAY_KUBERNETES_PRIORITY");
	options->rooms.life_ms = config_number("kubernetes-pod-life", POD_LIFE_MS);
	options->rooms.spread = spread && strcmp(spread, "true") == 0;
	options->state_dir = self->state_dir;
	options->image = image ? image : options->rooms.image;
	options->listen = self->listen;
	options->identity = buf_view(&self->identity);
	options->claim_bytes = config_number("kubernetes-volume-gib", 0) * GIB;
	return kube_cluster_open(options, &self->provider, err);
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
						: cluster_open(self, options, err);
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
	return sandboxes->client ? &sandboxes->options.site : NULL;
}

const char *serve_sandboxes_name(const char *provider)
{
	return provider && strcmp(provider, "kubernetes") == 0 ? "cluster" : "keeper";
}

int serve_sandboxes_look(const struct serve_sandboxes *sandboxes, struct err *err)
{
	AUTO_JSON version = NULL;

	return sandboxes->client ? kube_get(sandboxes->client, "/version", &version, err)
				 : local_provider_look(sandboxes->provider, err);
}

json_t *serve_sandboxes_doctor(const struct serve_sandboxes *sandboxes)
{
	AUTO_JSON rows = NULL;

	if (!sandboxes->client)
		return doctor_items(sandboxes->state_dir);
	rows = kube_check(&sandboxes->options.site);
	return doctor_items_of(rows);
}

void serve_sandboxes_close(struct serve_sandboxes *sandboxes)
{
	if (!sandboxes)
		return;
	if (sandboxes->provider.ops && sandboxes->client)
		kube_cluster_close(sandboxes->provider);
	else if (sandboxes->provider.ops)
		local_provider_close(sandboxes->provider);
	kube_client_close(sandboxes->client);
	kube_config_free(sandboxes->config);
	if (sandboxes->identity.at)
		explicit_bzero(sandboxes->identity.at, sandboxes->identity.length);
	buf_fini(&sandboxes->identity);
	free(sandboxes->owner);
	free(sandboxes->authority);
	free(sandboxes->listen);
	free(sandboxes->address);
	free(sandboxes->cidr);
	free(sandboxes->peer);
	free(sandboxes->state_dir);
	free(sandboxes);
}
