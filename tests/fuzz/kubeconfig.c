/* Kubeconfigs from outside: what is read names no command and no file of this machine, and is whole. And what credential plugins print. */
#include <assert.h>

#include "sandbox/kubernetes/credential.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kube_text text = {"config", view_make(data, size)};
	struct kube_config *config = kube_config_parse(&text, 1, NULL, true, NULL);
	AUTO_CREDENTIAL credential = {0};
	int64_t expires_ms;

	if (config) {
		assert(config->server && config->context);
		assert(!config->exec.command && !config->token_file);
		assert(!config->certificate == !config->key);
		assert(!config->token || !strpbrk(config->token, "\r\n"));
	}
	kube_config_free(config);
	if (kube_credential_parse(text.text, "client.authentication.k8s.io/v1", &credential, &expires_ms, NULL) == 0)
		assert(credential.token || credential.certificate);
	return 0;
}
