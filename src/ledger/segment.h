/*
 * segment: a file of the ledger, and the heads that are signed over its chain. A segment is SEGMENT_MAGIC and then records without gaps
 * (ledger/row.h); the first is its genesis, whose detail is JSON: {"writer", "segment", "boot", "key_id", "key": DER in base64,
 * "previous": {"segment", "sequence", "chain", "torn"}}. Beside the segments lies `heads`: one line for each signature.
 */
#ifndef ASSAY_LEDGER_SEGMENT_H
#define ASSAY_LEDGER_SEGMENT_H

#include "ledger/row.h"

#define SEGMENT_MAGIC "assay ledger 1\n"
#define SEGMENT_MAGIC_BYTES 16 /* with its NUL */
#define SEGMENT_NAME_MAX 32
#define LEDGER_WRITER_MAX 16 /* bytes of a writer's name, with its NUL */
#define LEDGER_SIGNATURE_BYTES 64
#define LEDGER_HEADS_FILE "heads"

void segment_name(uint64_t number, char name[SEGMENT_NAME_MAX]); /* "0000000001.seg" */
bool segment_number(const char *name, uint64_t *number);
/* The names of the segments in a folder, the oldest first. Each, and the list, is the caller's. */
MUST_USE int ledger_segments(int dir_fd, char ***names, size_t *count, struct err *err);

/* What a signature says: this writer's chain was this at that row. */
struct ledger_head {
	char writer[LEDGER_WRITER_MAX];
	uint64_t segment;
	uint64_t sequence;
	int64_t wall_ms;
	unsigned char chain[LEDGER_CHAIN_BYTES];
	unsigned char signature[LEDGER_SIGNATURE_BYTES];
};

/* The bytes that are signed: a constant in front keeps them apart from everything else that the key signs. */
#define LEDGER_HEAD_MARK "assay ledger head 1\n"
#define LEDGER_HEAD_BYTES 92
void ledger_head_bytes(const struct ledger_head *head, unsigned char bytes[LEDGER_HEAD_BYTES]);
/* One line without its end: "writer segment sequence wall_ms chain signature". */
#define LEDGER_HEAD_TEXT_MAX 320
void ledger_head_format(const struct ledger_head *head, char text[LEDGER_HEAD_TEXT_MAX]);
MUST_USE int ledger_head_parse(struct view text, struct ledger_head *head, struct err *err);

/* Reads a segment from the front: what a writer still appends to may be read at the same time. */
struct segment_reader {
	int fd;
	char *data;    /* of `from` onward */
	size_t length; /* bytes in `data` */
	size_t at;     /* of the next record in `data` */
	uint64_t from; /* where `data` begins in the file */
	bool ended;    /* the file had no more bytes when last read */
};

/* Begins at `offset` (0: the magic is checked and skipped). Takes `fd`. */
MUST_USE int segment_reader_open(struct segment_reader *reader, int fd, uint64_t offset, struct err *err);
void segment_reader_close(struct segment_reader *reader);
/* Where the next record begins. */
uint64_t segment_reader_offset(const struct segment_reader *reader);
/* 1: a record, whose bytes and texts are borrowed until the next call. 0: the end, or not all of a record is there yet (*torn: that many
 * bytes of it). -1: what stands there is none. */
MUST_USE int segment_read(struct segment_reader *reader, struct view *bytes, struct ledger_record *record, struct ledger_row *row,
			  size_t *torn, struct err *err);

#endif
