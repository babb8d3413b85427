/* OTLP in JSON: lowerCamelCase, ids as hex (some exporters send base64), times as decimal texts or numbers. */
#include "base/scope.h"
#include "http/telemetry_priv.h"

static struct view text_of(const json_t *value)
{
	return json_is_string(value) ? view_make(json_string_value(value), json_string_length(value)) : VIEW("");
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/* An id of another form is none. */
static void id_read(unsigned char *id, size_t length, const json_t *value)
{
	AUTO_BUF bytes = buf_new(64);
	struct view text = text_of(value);

	if (text.length != 2 * length) {
		if (text.length <= 2 * length && !buf_add_unbase64(&bytes, text, NULL) && bytes.length == length)
			memcpy(id, bytes.at, length);
		return;
	}
	for (size_t i = 0; i < text.length; i++)
		if (digit_of(text.at[i]) < 0)
			return;
	for (size_t i = 0; i < length; i++)
		id[i] = (unsigned char)(digit_of(text.at[2 * i]) << 4 | digit_of(text.at[2 * i + 1]));
}

static uint64_t number_of(const json_t *value)
{
	uint64_t number = 0;

	if (json_is_integer(value))
		return json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
	return view_to_u64(text_of(value), &number) ? number : 0;
}

static const char *service_of(struct telemetry *telemetry, const json_t *part)
{
	json_t *attributes = json_member(json_member(part, "resource"), "attributes");
	struct view service = VIEW("");
	json_t *attribute;
	size_t i;

	json_array_foreach(attributes, i, attribute)
		if (strcmp(json_text(attribute, "key", ""), SERVICE_NAME) == 0)
			service = text_of(json_member(json_member(attribute, "value"), "stringValue"));
	return telemetry_text(telemetry, service);
}

static void span_read(struct telemetry *telemetry, const json_t *span, struct telemetry_item *item)
{
	id_read(item->trace, sizeof(item->trace), json_member(span, "traceId"));
	id_read(item->id, sizeof(item->id), json_member(span, "spanId"));
	id_read(item->parent, sizeof(item->parent), json_member(span, "parentSpanId"));
	item->text = telemetry_text(telemetry, text_of(json_member(span, "name")));
	item->begun_ns = number_of(json_member(span, "startTimeUnixNano"));
	item->ended_ns = number_of(json_member(span, "endTimeUnixNano"));
	item->failed = json_number(json_member(span, "status"), "code", 0) == 2; /* STATUS_CODE_ERROR */
}

static void line_read(struct telemetry *telemetry, const json_t *line, struct telemetry_item *item)
{
	uint64_t severity = number_of(json_member(line, "severityNumber"));

	id_read(item->trace, sizeof(item->trace), json_member(line, "traceId"));
	id_read(item->id, sizeof(item->id), json_member(line, "spanId"));
	item->text = telemetry_text(telemetry, text_of(json_member(json_member(line, "body"), "stringValue")));
	item->severity = severity <= 24 ? (uint32_t)severity : 0;
	item->begun_ns = number_of(json_member(line, "timeUnixNano"));
	if (!item->begun_ns)
		item->begun_ns = number_of(json_member(line, "observedTimeUnixNano"));
}

/* A list that is absent or null is an empty one; what else is no list of objects is refused. */
static int list_check(const json_t *list, const char *name, struct err *err)
{
	json_t *each;
	size_t i;

	if (list && !json_is_null(list) && !json_is_array(list))
		return err_set(err, ERR_INVALID, "%s is no list", name);
	json_array_foreach(list, i, each)
		if (!json_is_object(each))
			return err_set(err, ERR_INVALID, "%s has something that is no object", name);
	return 0;
}

static int items_read(enum telemetry_signal signal, struct telemetry *telemetry, const json_t *scope, const char *service,
		      struct err *err)
{
	const char *name = signal == TELEMETRY_TRACES ? "spans" : "logRecords";
	const json_t *list = json_member(scope, name);
	json_t *each;
	size_t i;

	if (list_check(list, name, err))
		return -1;
	json_array_foreach(list, i, each) {
		struct telemetry_item *item = telemetry_item_add(telemetry, service, err);

		if (!item)
			return -1;
		if (signal == TELEMETRY_TRACES)
			span_read(telemetry, each, item);
		else
			line_read(telemetry, each, item);
	}
	return 0;
}

static int part_read(enum telemetry_signal signal, struct telemetry *telemetry, const json_t *part, struct err *err)
{
	const char *name = signal == TELEMETRY_TRACES ? "scopeSpans" : "scopeLogs";
	const json_t *list = json_member(part, name);
	const char *service = service_of(telemetry, part);
	json_t *each;
	size_t i;

	if (list_check(list, name, err))
		return -1;
	json_array_foreach(list, i, each)
		if (items_read(signal, telemetry, each, service, err))
			return -1;
	return 0;
}

/* How many values the text can have, before memory is taken for each. What stands in strings counts, too. */
static bool has_too_many(struct view body)
{
	size_t values = 0;

	for (size_t i = 0; i < body.length; i++)
		values += body.at[i] == ',' || body.at[i] == '{' || body.at[i] == '[';
	return values > TELEMETRY_VALUES_MAX;
}

int telemetry_json_parse(enum telemetry_signal signal, struct view body, struct telemetry *telemetry, struct err *err)
{
	const char *name = signal == TELEMETRY_TRACES ? "resourceSpans" : "resourceLogs";
	AUTO_JSON request = NULL;
	const json_t *list;
	json_t *each;
	size_t i;

	if (has_too_many(body))
		return err_set(err, ERR_LIMIT, "more than %zu values in one request", TELEMETRY_VALUES_MAX);
	request = json_parse(body, err);
	if (!request)
		return -1;
	list = json_member(request, name);
	if (!json_is_object(request))
		return err_set(err, ERR_INVALID, "the body is no object");
	if (list_check(list, name, err))
		return -1;
	json_array_foreach(list, i, each)
		if (part_read(signal, telemetry, each, err))
			return -1;
	return 0;
}
