/* The rules of money: everything is added up in cents, and rounded half up once per line and once for the tax. */
#include "quote.h"

#include <string.h>

#define VOLUME_QUANTITY 10
#define VOLUME_PERCENT 5
#define SHIPPING_CENTS 490
#define SHIPPING_FREE_FROM_CENTS 5000

static const struct {
	char country[3];
	int64_t percent;
} TAXES[] = {{"DE", 19}, {"FR", 20}, {"AT", 20}, {"NL", 21}, {"SE", 25}};

static int64_t percent_of(int64_t cents, int64_t percent)
{
	return (cents * percent + 50) / 100;
}

int64_t quote_tax_percent(const char *country)
{
	for (size_t i = 0; i < sizeof TAXES / sizeof *TAXES; i++)
		if (strcmp(TAXES[i].country, country) == 0)
			return TAXES[i].percent;
	return 25;
}

/* The volume discount comes off what the promotion has left. */
static void line_compute(struct quote_line *line)
{
	line->gross_cents = line->unit_cents * line->quantity;
	line->discount_cents = percent_of(line->gross_cents, line->discount_percent);
	if (line->quantity >= VOLUME_QUANTITY)
		line->discount_cents += percent_of(line->gross_cents - line->discount_cents, VOLUME_PERCENT);
	line->net_cents = line->gross_cents - line->discount_cents;
}

void quote_compute(struct quote *quote)
{
	quote->subtotal_cents = quote->discount_cents = 0;
	for (size_t i = 0; i < quote->line_count; i++) {
		line_compute(&quote->lines[i]);
		quote->subtotal_cents += quote->lines[i].gross_cents;
		quote->discount_cents += quote->lines[i].discount_cents;
	}
	int64_t net = quote->subtotal_cents - quote->discount_cents;
	quote->shipping_cents = net >= SHIPPING_FREE_FROM_CENTS ? 0 : SHIPPING_CENTS;
	quote->tax_cents = percent_of(net + quote->shipping_cents, quote_tax_percent(quote->country));
	quote->total_cents = net + quote->shipping_cents + quote->tax_cents;
}
