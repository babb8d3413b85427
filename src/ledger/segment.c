/* Segments and heads as bytes and lines. */
#include "ledger/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/scope.h"

#define READ_BYTES ((size_t)1 << 20)
#define NAME_DIGITS 10
#define NAME_ENDING ".seg"

void segment_name(uint64_t number, char name[SEGMENT_NAME_MAX])
{
	(void)snprintf(name, SEGMENT_NAME_MAX, "%0*llu" NAME_ENDING, NAME_DIGITS, (unsigned long long)number);
}

bool segment_number(const char *name, uint64_t *number)
{
	struct view text = view_of(name);

	if (!view_ends(text, VIEW(NAME_ENDING)))
		return false;
	text.length -= sizeof(NAME_ENDING) - 1;
	return text.length >= NAME_DIGITS && view_to_u64(text, number) && *number;
}

static int name_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int ledger_segments(int dir_fd, char ***names, size_t *count, struct err *err)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	size_t room = 0;
	uint64_t number;

	*names = NULL;
	*count = 0;
	if (!dir)
		return err_errno(err, errno, "cannot list the ledger's folder");
	for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		if (!segment_number(entry->d_name, &number))
			continue;
		if (*count == room) {
			room = room ? room * 2 : 16;
			*names = mem_grow(*names, room, sizeof(**names));
		}
		(*names)[(*count)++] = text_copy(entry->d_name);
	}
	(void)closedir(dir);
	if (*count)
		qsort(*names, *count, sizeof(**names), name_compare);
	return 0;
}

static unsigned char *number_put(unsigned char *at, uint64_t number)
{
	memcpy(at, &number, sizeof(number)); /* little endian, as everything here */
	return at + sizeof(number);
}

void ledger_head_bytes(const struct ledger_head *head, unsigned char bytes[LEDGER_HEAD_BYTES])
{
	unsigned char *at = bytes;

	memcpy(at, LEDGER_HEAD_MARK, sizeof(LEDGER_HEAD_MARK) - 1);
	at += sizeof(LEDGER_HEAD_MARK) - 1;
	memset(at, 0, LEDGER_WRITER_MAX);
	memcpy(at, head->writer, strnlen(head->writer, LEDGER_WRITER_MAX - 1));
	at = number_put(at + LEDGER_WRITER_MAX, head->segment);
	at = number_put(at, head->sequence);
	at = number_put(at, (uint64_t)head->wall_ms);
	memcpy(at, head->chain, LEDGER_CHAIN_BYTES);
}
_Static_assert(LEDGER_HEAD_BYTES == sizeof(LEDGER_HEAD_MARK) - 1 + LEDGER_WRITER_MAX + 24 + LEDGER_CHAIN_BYTES,
	       "a head's bytes are its members");

static char *hex_put(char *at, const unsigned char *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < length; i++) {
		*at++ = digits[bytes[i] >> 4];
		*at++ = digits[bytes[i] & 15];
	}
	return at;
}

void ledger_head_format(const struct ledger_head *head, char text[LEDGER_HEAD_TEXT_MAX])
{
	char *at = text + snprintf(text, LEDGER_HEAD_TEXT_MAX, "%.*s %llu %llu %lld ", LEDGER_WRITER_MAX - 1, head->writer,
				   (unsigned long long)head->segment, (unsigned long long)head->sequence, (long long)head->wall_ms);

	at = hex_put(at, head->chain, LEDGER_CHAIN_BYTES);
	*at++ = ' ';
	at = hex_put(at, head->signature, LEDGER_SIGNATURE_BYTES);
	*at = '\0';
}

static bool hex_take(struct view text, unsigned char *bytes, size_t length)
{
	if (text.length != 2 * length)
		return false;
	for (size_t i = 0; i < text.length; i++) {
		char c = text.at[i];
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

		if (digit < 0)
			return false;
		bytes[i / 2] = (unsigned char)(i % 2 ? bytes[i / 2] | digit : digit << 4);
	}
	return true;
}

int ledger_head_parse(struct view text, struct ledger_head *head, struct err *err)
{
	struct view rest = view_trim(text);
	struct view words[6];
	uint64_t wall;

	*head = (struct ledger_head){.segment = 0};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		words[i] = view_cut(rest, ' ', &rest);
	if (rest.at || !words[0].length || words[0].length >= LEDGER_WRITER_MAX || !view_to_u64(words[1], &head->segment) ||
	    !view_to_u64(words[2], &head->sequence) || !view_to_u64(words[3], &wall) || wall > INT64_MAX ||
	    !hex_take(words[4], head->chain, LEDGER_CHAIN_BYTES) || !hex_take(words[5], head->signature, LEDGER_SIGNATURE_BYTES))
		return err_set(
			err, ERR_INVALID,
			"no head of a ledger: writer, segment, sequence, time, chain and signature are expected in one line");
	memcpy(head->writer, words[0].at, words[0].length);
	head->wall_ms = (int64_t)wall;
	return 0;
}

int segment_reader_open(struct segment_reader *reader, int fd, uint64_t offset, struct err *err)
{
	char magic[SEGMENT_MAGIC_BYTES];

	*reader = (struct segment_reader){.fd = fd, .from = offset ? offset : SEGMENT_MAGIC_BYTES};
	if (offset)
		return 0;
	if (pread(fd, magic, sizeof(magic), 0) != (ssize_t)sizeof(magic) || memcmp(magic, SEGMENT_MAGIC, sizeof(magic)) != 0) {
		segment_reader_close(reader);
		return err_set(err, ERR_BROKEN, "it does not begin as a segment of the ledger");
	}
	return 0;
}

void segment_reader_close(struct segment_reader *reader)
{
	scope_close(&reader->fd);
	reader->fd = -1;
	free(reader->data);
	reader->data = NULL;
}

uint64_t segment_reader_offset(const struct segment_reader *reader)
{
	return reader->from + reader->at;
}

/* Moves what is left to the front and reads more behind it. */
static int reader_fill(struct segment_reader *reader, struct err *err)
{
	ssize_t got;

	if (!reader->data)
		reader->data = mem_new(READ_BYTES);
	if (reader->at)
		memmove(reader->data, reader->data + reader->at, reader->length - reader->at);
	reader->from += reader->at;
	reader->length -= reader->at;
	reader->at = 0;
	do
		got = pread(reader->fd, reader->data + reader->length, READ_BYTES - reader->length,
			    (off_t)(reader->from + reader->length));
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return err_errno(err, errno, "cannot read a segment of the ledger");
	reader->length += (size_t)got;
	reader->ended = got == 0;
	return 0;
}

int segment_read(struct segment_reader *reader, struct view *bytes, struct ledger_record *record, struct ledger_row *row,
		 size_t *torn, struct err *err)
{
	uint32_t length = 0;

	*torn = 0;
	while (reader->length - reader->at < LEDGER_RECORD_BYTES_MAX) {
		if (reader_fill(reader, err))
			return -1;
		if (reader->ended)
			break;
	}
	bytes->at = reader->data + reader->at;
	bytes->length = reader->length - reader->at;
	if (bytes->length >= sizeof(length))
		memcpy(&length, bytes->at, sizeof(length));
	if (bytes->length < LEDGER_RECORD_BYTES_MIN ||
	    (length > bytes->length && length <= LEDGER_RECORD_BYTES_MAX && length % 8 == 0)) {
		*torn = bytes->length;
		return 0;
	}
	if (ledger_row_decode(*bytes, record, row, err))
		return -1;
	bytes->length = record->bytes;
	reader->at += record->bytes;
	return 1;
}
