/* The vault as a real process: this program, re-executed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "vault/vault.h"

static char state_dir[] = "/tmp/assay-vault-XXXXXX";

static bool signature_good(const char *pem, struct view bytes, const unsigned char *signature)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool good = EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
		    EVP_DigestVerify(context, signature, 64, (const unsigned char *)bytes.at, bytes.length) == 1;

	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	(void)BIO_free(bio);
	return good;
}

/* The child of ours whose second argument is "vault". */
static pid_t vault_pid(void)
{
	DIR *dir = opendir("/proc");
	pid_t found = -1;

	for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		AUTO_FREE char *path = text_format("/proc/%s/stat", entry->d_name);
		AUTO_BUF text = buf_new(4096);
		const char *after;
		char state;
		int parent;

		if (file_read(path, &text, NULL) || !text.at)
			continue;
		after = strrchr(text.at, ')');
		if (after && sscanf(after + 1, " %c %d", &state, &parent) == 2 && parent == (int)getpid() && state != 'Z')
			found = (pid_t)atoi(entry->d_name);
	}
	(void)closedir(dir);
	return found;
}

static void the_key_is_made_once_and_only_its_owner_may_read_it(void **state)
{
	AUTO_FREE char *path = text_format("%s/vault/key.pem", state_dir);
	AUTO_BUF first = buf_new(1024);
	AUTO_BUF second = buf_new(1024);
	struct vault *vault;
	struct err err = {0};
	struct stat facts;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(vault_open(state_dir, &vault, &err), 0);
		assert_int_equal(vault_public_key(vault, i ? &second : &first, &err), 0);
		vault_close(vault);
	}
	assert_true(view_equal(buf_view(&first), buf_view(&second)));
	assert_int_equal(stat(path, &facts), 0);
	assert_int_equal(facts.st_mode & 0777, 0600);
}

static void a_signature_is_good_for_its_bytes_and_for_no_others(void **state)
{
	AUTO_BUF pem = buf_new(1024);
	AUTO_BUF large = buf_new((size_t)16 << 20);
	unsigned char signature[64];
	struct vault *vault;
	char key_id[65];
	struct err err = {0};

	(void)state;
	assert_int_equal(vault_open(state_dir, &vault, &err), 0);
	assert_int_equal(vault_public_key(vault, &pem, &err), 0);
	assert_int_equal(vault_sign(vault, VIEW("statement"), signature, key_id, &err), 0);
	assert_int_equal(strlen(key_id), 64);
	assert_true(signature_good(pem.at, VIEW("statement"), signature));
	assert_false(signature_good(pem.at, VIEW("statemenu"), signature));
	memset(buf_reserve(&large, (size_t)16 << 20), 'x', (size_t)16 << 20);
	buf_commit(&large, (size_t)16 << 20);
	assert_int_equal(vault_sign(vault, buf_view(&large), signature, key_id, &err), 0);
	assert_true(signature_good(pem.at, buf_view(&large), signature));
	vault_close(vault);
}

static void what_is_empty_or_over_the_limit_is_not_signed(void **state)
{
	AUTO_FREE char *large = mem_new(((size_t)16 << 20) + 1);
	unsigned char signature[64];
	struct vault *vault;
	char key_id[65];
	struct err err = {0};

	(void)state;
	assert_int_equal(vault_open(state_dir, &vault, &err), 0);
	assert_int_equal(vault_sign(vault, VIEW(""), signature, key_id, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_int_equal(vault_sign(vault, view_make(large, ((size_t)16 << 20) + 1), signature, key_id, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	vault_close(vault);
}

static void a_vault_that_died_is_started_again(void **state)
{
	unsigned char signature[64];
	struct vault *vault;
	char key_id[65];
	char again[65];
	struct err err = {0};
	pid_t pid;

	(void)state;
	assert_int_equal(vault_open(state_dir, &vault, &err), 0);
	assert_int_equal(vault_sign(vault, VIEW("a"), signature, key_id, &err), 0);
	pid = vault_pid();
	assert_true(pid > 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(vault_sign(vault, VIEW("b"), signature, again, &err), 0);
	assert_string_equal(key_id, again);
	assert_int_not_equal(vault_pid(), pid);
	vault_close(vault);
	assert_int_equal(vault_pid(), -1);
}

static void the_process_has_no_capability_and_cannot_gain_one(void **state)
{
	AUTO_FREE char *path = NULL;
	AUTO_BUF status = buf_new(65536);
	struct vault *vault;
	struct err err = {0};

	(void)state;
	assert_int_equal(vault_open(state_dir, &vault, &err), 0);
	path = text_format("/proc/%d/status", (int)vault_pid());
	assert_int_equal(file_read(path, &status, &err), 0);
	assert_true(view_find(buf_view(&status), VIEW("CapPrm:\t0000000000000000")) >= 0);
	assert_true(view_find(buf_view(&status), VIEW("CapEff:\t0000000000000000")) >= 0);
	assert_true(view_find(buf_view(&status), VIEW("NoNewPrivs:\t1")) >= 0);
	vault_close(vault);
}

static void a_key_that_others_can_read_is_refused(void **state)
{
	AUTO_FREE char *path = text_format("%s/vault/key.pem", state_dir);
	struct vault *vault = NULL;
	struct err err = {0};

	(void)state;
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(vault_open(state_dir, &vault, &err), -1);
	assert_int_equal(chmod(path, 0600), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_key_is_made_once_and_only_its_owner_may_read_it),
		cmocka_unit_test(a_signature_is_good_for_its_bytes_and_for_no_others),
		cmocka_unit_test(what_is_empty_or_over_the_limit_is_not_signed),
		cmocka_unit_test(a_vault_that_died_is_started_again),
		cmocka_unit_test(the_process_has_no_capability_and_cannot_gain_one),
		cmocka_unit_test(a_key_that_others_can_read_is_refused),
	};
	int failed;

	if (argc > 1 && strcmp(argv[1], "vault") == 0)
		return vault_main(argc - 1, argv + 1);
	if (!mkdtemp(state_dir))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)!file_remove_tree(state_dir, NULL);
	return failed;
}
