/* Rows for people and for other programs: JSON, and CEF for a collector of security events. */
#include "ledger/row.h"

#include "base/scope.h"
#include "base/world.h"

#define CEF_SEVERITY_CALM 3
#define CEF_SEVERITY_REFUSED 6
#define CEF_SEVERITY_GRAVE 8

json_t *ledger_row_json(const char *writer, const struct ledger_record *record, const struct ledger_row *row)
{
	json_t *json = json_object();
	AUTO_BUF text = buf_new(256);
	char request[LEDGER_REQUEST_TEXT_MAX];
	static const unsigned char none[LEDGER_DIGEST_BYTES];

	time_format(&text, record->wall_ms);
	(void)json_object_set_new(json, "time", json_string(text.at));
	(void)json_object_set_new(json, "time_ms", json_integer(record->wall_ms));
	(void)json_object_set_new(json, "writer", json_string(writer));
	(void)json_object_set_new(json, "sequence", json_integer((json_int_t)record->sequence));
	(void)json_object_set_new(json, "kind", json_string(ledger_kind_name(row->kind)));
	if (row->request) {
		ledger_request_format(row->request, request);
		(void)json_object_set_new(json, "request", json_string(request));
	}
	for (size_t i = 0; i < LEDGER_TEXTS; i++)
		if (row->texts[i].length)
			json_set_bytes(json, ledger_text_name((enum ledger_text)i), row->texts[i]);
	if (row->port)
		(void)json_object_set_new(json, "port", json_integer(row->port));
	if (row->status)
		(void)json_object_set_new(json, "status", json_integer(row->status));
	if (row->kind == LEDGER_OUTCOME || row->sent_bytes || row->received_bytes) {
		(void)json_object_set_new(json, "sent_bytes", json_integer((json_int_t)row->sent_bytes));
		(void)json_object_set_new(json, "received_bytes", json_integer((json_int_t)row->received_bytes));
	}
	if (row->duration_us)
		(void)json_object_set_new(json, "duration_us", json_integer((json_int_t)row->duration_us));
	if (row->kind == LEDGER_FINDING || row->kind == LEDGER_LOST || row->offset)
		(void)json_object_set_new(json, row->kind == LEDGER_LOST ? "rows" : "offset",
					  json_integer((json_int_t)row->offset));
	if (memcmp(row->digest, none, sizeof(none)) != 0) {
		buf_clear(&text);
		buf_add_hex(&text, row->digest, sizeof(row->digest));
		(void)json_object_set_new(json, "sha256_prefix", json_string(text.at));
	}
	if (record->flags & LEDGER_CUT)
		(void)json_object_set_new(json, "cut", json_true());
	if (record->flags & LEDGER_HIDDEN)
		(void)json_object_set_new(json, "hidden", json_true());
	return json;
}

static int severity(const struct ledger_row *row)
{
	switch (row->kind) {
	case LEDGER_FINDING:
	case LEDGER_KILL:
	case LEDGER_LOST:
		return CEF_SEVERITY_GRAVE;
	case LEDGER_VERDICT:
	case LEDGER_HOLD:
		return CEF_SEVERITY_REFUSED;
	case LEDGER_GENESIS:
	case LEDGER_HEAD:
	case LEDGER_CLOSE:
	case LEDGER_INTENT:
	case LEDGER_OUTCOME:
	case LEDGER_ANSWER:
	case LEDGER_RELEASE:
	case LEDGER_SECRET:
	case LEDGER_POLICY:
	case LEDGER_BUDGET:
	case LEDGER_KIND_END:
		break;
	}
	return CEF_SEVERITY_CALM;
}

/* Values of the extension: backslash and equals sign are escaped; line ends are in no row. */
static void cef_add(struct buf *out, const char *key, struct view value)
{
	if (!value.length)
		return;
	buf_add_char(out, ' ');
	buf_add_text(out, key);
	buf_add_char(out, '=');
	for (size_t i = 0; i < value.length; i++) {
		if (value.at[i] == '\\' || value.at[i] == '=')
			buf_add_char(out, '\\');
		buf_add_char(out, value.at[i]);
	}
}

void ledger_row_cef(struct buf *out, const char *writer, const struct ledger_record *record, const struct ledger_row *row)
{
	static const struct {
		enum ledger_text text;
		const char *key;
	} keys[] = {
		{LEDGER_HOST, "dhost"},  {LEDGER_METHOD, "requestMethod"},  {LEDGER_PATH, "request"},
		{LEDGER_ACTOR, "suser"}, {LEDGER_SANDBOX, "sourceService"}, {LEDGER_DETAIL, "msg"},
	};
	static const struct {
		enum ledger_text text;
		const char *label;
	} customs[] = {{LEDGER_ENV, "environment"}, {LEDGER_RUN, "run"}, {LEDGER_AGENT, "agent"}, {LEDGER_RULE, "rule"}};
	char request[LEDGER_REQUEST_TEXT_MAX];
	const char *name = ledger_kind_name(row->kind);

	buf_add_format(out, "CEF:0|Assay|assay|%s|%s|%s|%d|rt=%lld externalId=%s-%llu", ASSAY_VERSION, name, name, severity(row),
		       (long long)record->wall_ms, writer, (unsigned long long)record->sequence);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		cef_add(out, keys[i].key, row->texts[keys[i].text]);
	for (size_t i = 0; i < ARRAY_LEN(customs); i++) {
		if (!row->texts[customs[i].text].length)
			continue;
		buf_add_format(out, " cs%zuLabel=%s", i + 1, customs[i].label);
		buf_add_format(out, " cs%zu=", i + 1);
		for (size_t k = 0; k < row->texts[customs[i].text].length; k++) {
			char c = row->texts[customs[i].text].at[k];

			if (c == '\\' || c == '=')
				buf_add_char(out, '\\');
			buf_add_char(out, c);
		}
	}
	if (row->request) {
		ledger_request_format(row->request, request);
		buf_add_format(out, " cs5Label=request cs5=%s", request);
	}
	if (row->port)
		buf_add_format(out, " dpt=%u", row->port);
	if (row->status)
		buf_add_format(out, " outcome=%u", row->status);
	if (row->kind == LEDGER_OUTCOME)
		buf_add_format(out, " out=%llu in=%llu", (unsigned long long)row->sent_bytes,
			       (unsigned long long)row->received_bytes);
}
