/* telemetry_priv: what the two codings of telemetry share. */
#ifndef ASSAY_HTTP_TELEMETRY_PRIV_H
#define ASSAY_HTTP_TELEMETRY_PRIV_H

#include "http/telemetry.h"

#define SERVICE_NAME "service.name"

/* Zeroed but for its texts; borrowed until the next one. NULL: ERR_LIMIT. */
struct telemetry_item *telemetry_item_add(struct telemetry *telemetry, const char *service, struct err *err);
const char *telemetry_text(struct telemetry *telemetry, struct view text); /* valid UTF-8 without NUL, cut */

MUST_USE int telemetry_wire_parse(enum telemetry_signal signal, struct view body, struct telemetry *telemetry, struct err *err);
MUST_USE int telemetry_json_parse(enum telemetry_signal signal, struct view body, struct telemetry *telemetry, struct err *err);

#endif
