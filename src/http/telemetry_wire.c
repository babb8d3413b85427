/*
 * OTLP in protobuf's wire format (protobuf.dev/programming-guides/encoding). Messages are read by one function for each kind, which goes into
 * the ones it knows: as deep as the kinds are, whatever the bytes say.
 */
#include "base/scope.h"
#include "http/telemetry_priv.h"

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 }; /* 3 and 4, groups, are in no message of OTLP */

struct field {
	uint64_t number;
	enum wire wire;
	uint64_t value;    /* of the wires that are numbers */
	struct view bytes; /* of WIRE_BYTES */
};

static int wire_broken(struct err *err)
{
	return err_set(err, ERR_INVALID, "the body is no protobuf of such a request");
}

static bool varint_take(struct view *rest, uint64_t *value)
{
	*value = 0;
	for (unsigned shift = 0; shift < 64 && rest->length; shift += 7) {
		uint64_t byte = (unsigned char)*rest->at;

		*rest = view_make(rest->at + 1, rest->length - 1);
		if (shift == 63 && byte > 1)
			return false;
		*value |= (byte & 0x7f) << shift;
		if (byte < 0x80)
			return true;
	}
	return false;
}

static bool fixed_take(struct view *rest, size_t length, uint64_t *value)
{
	if (rest->length < length)
		return false;
	*value = 0;
	for (size_t i = 0; i < length; i++)
		*value |= (uint64_t)(unsigned char)rest->at[i] << (8 * i);
	*rest = view_make(rest->at + length, rest->length - length);
	return true;
}

static bool bytes_take(struct view *rest, struct view *bytes)
{
	uint64_t length;

	if (!varint_take(rest, &length) || length > rest->length)
		return false;
	*bytes = view_make(rest->at, (size_t)length);
	*rest = view_make(rest->at + length, rest->length - (size_t)length);
	return true;
}

/* The next field: 1, and at the end 0. */
static int field_take(struct view *rest, struct field *field, struct err *err)
{
	uint64_t key;
	bool good = false;

	if (!rest->length)
		return 0;
	*field = (struct field){0};
	if (!varint_take(rest, &key) || key >> 3 == 0 || key > UINT32_MAX)
		return wire_broken(err);
	field->number = key >> 3;
	field->wire = (enum wire)(key & 7);
	switch (key & 7) {
	case WIRE_VARINT:
		good = varint_take(rest, &field->value);
		break;
	case WIRE_FIXED64:
		good = fixed_take(rest, 8, &field->value);
		break;
	case WIRE_BYTES:
		good = bytes_take(rest, &field->bytes);
		break;
	case WIRE_FIXED32:
		good = fixed_take(rest, 4, &field->value);
		break;
	default:
		break;
	}
	return good ? 1 : wire_broken(err);
}

static bool field_is(const struct field *field, uint64_t number, enum wire wire)
{
	return field->number == number && field->wire == wire;
}

/* An id of another length is none. */
static void id_read(unsigned char *id, size_t length, struct view bytes)
{
	if (bytes.length == length)
		memcpy(id, bytes.at, length);
}

/* The text of an AnyValue; *text is left alone when it is none. */
static int value_read(struct view rest, struct view *text, struct err *err)
{
	struct field field;
	int more;

	while ((more = field_take(&rest, &field, err)) > 0)
		if (field_is(&field, 1, WIRE_BYTES))
			*text = field.bytes;
	return more;
}

/* A KeyValue, when it is the service's name. */
static int attribute_read(struct view rest, struct view *service, struct err *err)
{
	struct view key = VIEW("");
	struct view value = VIEW("");
	struct field field;
	int more;

	while ((more = field_take(&rest, &field, err)) > 0) {
		if (field_is(&field, 1, WIRE_BYTES))
			key = field.bytes;
		else if (field_is(&field, 2, WIRE_BYTES) && value_read(field.bytes, &value, err))
			return -1;
	}
	if (!more && view_is(key, SERVICE_NAME))
		*service = value;
	return more;
}

static int resource_read(struct view rest, struct view *service, struct err *err)
{
	struct field field;
	int more;

	while ((more = field_take(&rest, &field, err)) > 0)
		if (field_is(&field, 1, WIRE_BYTES) && attribute_read(field.bytes, service, err))
			return -1;
	return more;
}

static int status_read(struct view rest, bool *failed, struct err *err)
{
	struct field field;
	int more;

	while ((more = field_take(&rest, &field, err)) > 0)
		if (field_is(&field, 3, WIRE_VARINT))
			*failed = field.value == 2; /* STATUS_CODE_ERROR */
	return more;
}

static int span_read(struct telemetry *telemetry, struct view rest, struct telemetry_item *item, struct err *err)
{
	struct view name = VIEW("");
	struct field field;
	int more;

	while ((more = field_take(&rest, &field, err)) > 0) {
		if (field_is(&field, 1, WIRE_BYTES))
			id_read(item->trace, sizeof(item->trace), field.bytes);
		else if (field_is(&field, 2, WIRE_BYTES))
			id_read(item->id, sizeof(item->id), field.bytes);
		else if (field_is(&field, 4, WIRE_BYTES))
			id_read(item->parent, sizeof(item->parent), field.bytes);
		else if (field_is(&field, 5, WIRE_BYTES))
			name = field.bytes;
		else if (field_is(&field, 7, WIRE_FIXED64))
			item->begun_ns = field.value;
		else if (field_is(&field, 8, WIRE_FIXED64))
			item->ended_ns = field.value;
		else if (field_is(&field, 15, WIRE_BYTES) && status_read(field.bytes, &item->failed, err))
			return -1;
	}
	item->text = telemetry_text(telemetry, name);
	return more;
}

static int line_read(struct telemetry *telemetry, struct view rest, struct telemetry_item *item, struct err *err)
{
	struct view text = VIEW("");
	uint64_t seen_ns = 0;
	struct field field;
	int more;

	while ((more = field_take(&rest, &field, err)) > 0) {
		if (field_is(&field, 1, WIRE_FIXED64))
			item->begun_ns = field.value;
		else if (field_is(&field, 2, WIRE_VARINT))
			item->severity = field.value <= 24 ? (uint32_t)field.value : 0;
		else if (field_is(&field, 5, WIRE_BYTES) && value_read(field.bytes, &text, err))
			return -1;
		else if (field_is(&field, 9, WIRE_BYTES))
			id_read(item->trace, sizeof(item->trace), field.bytes);
		else if (field_is(&field, 10, WIRE_BYTES))
			id_read(item->id, sizeof(item->id), field.bytes);
		else if (field_is(&field, 11, WIRE_FIXED64))
			seen_ns = field.value;
	}
	if (!item->begun_ns)
		item->begun_ns = seen_ns;
	item->text = telemetry_text(telemetry, text);
	return more;
}

/* ScopeSpans and ScopeLogs have their items in the same field. */
static int scope_read(enum telemetry_signal signal, struct telemetry *telemetry, struct view rest, const char *service,
		      struct err *err)
{
	struct field field;
	int more;

	while ((more = field_take(&rest, &field, err)) > 0) {
		struct telemetry_item *item;

		if (!field_is(&field, 2, WIRE_BYTES))
			continue;
		item = telemetry_item_add(telemetry, service, err);
		if (!item)
			return -1;
		if (signal == TELEMETRY_TRACES ? span_read(telemetry, field.bytes, item, err)
					       : line_read(telemetry, field.bytes, item, err))
			return -1;
	}
	return more;
}

/* ResourceSpans and ResourceLogs. The resource may come after what is of it. */
static int part_read(enum telemetry_signal signal, struct telemetry *telemetry, struct view part, struct err *err)
{
	struct view service = VIEW("");
	struct view rest = part;
	struct field field;
	const char *name;
	int more;

	while ((more = field_take(&rest, &field, err)) > 0)
		if (field_is(&field, 1, WIRE_BYTES) && resource_read(field.bytes, &service, err))
			return -1;
	if (more)
		return -1;
	name = telemetry_text(telemetry, service);
	rest = part;
	while ((more = field_take(&rest, &field, err)) > 0)
		if (field_is(&field, 2, WIRE_BYTES) && scope_read(signal, telemetry, field.bytes, name, err))
			return -1;
	return more;
}

int telemetry_wire_parse(enum telemetry_signal signal, struct view body, struct telemetry *telemetry, struct err *err)
{
	struct field field;
	int more;

	while ((more = field_take(&body, &field, err)) > 0)
		if (field_is(&field, 1, WIRE_BYTES) && part_read(signal, telemetry, field.bytes, err))
			return -1;
	return more;
}
