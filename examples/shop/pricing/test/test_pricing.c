/* Tests of the pricing rules and of what the service refuses; writes TAP. */
#include <stdio.h>
#include <string.h>

#include "quote.h"
#include "service.h"

static int count, failed;

static void check(bool ok, const char *name)
{
	count++;
	failed += !ok;
	printf("%sok %d - %s\n", ok ? "" : "not ", count, name);
}

static struct quote quote_of(const char *country, int64_t unit_cents, int64_t quantity, int64_t percent)
{
	struct quote quote = {.line_count = 1};
	snprintf(quote.country, sizeof quote.country, "%s", country);
	quote.lines[0] = (struct quote_line){1, quantity, unit_cents, percent, 0, 0, 0};
	quote_compute(&quote);
	return quote;
}

static void rules(void)
{
	struct quote plain = quote_of("DE", 4990, 1, 0);
	check(plain.shipping_cents == 490, "a small order pays for shipping");
	check(plain.tax_cents == 1041 && plain.total_cents == 6521, "tax is on goods and shipping, rounded half up");
	struct quote large = quote_of("FR", 5000, 1, 0);
	check(large.shipping_cents == 0 && large.total_cents == 6000, "from 50 euros on shipping is free");
	struct quote promoted = quote_of("DE", 9990, 1, 25);
	check(promoted.discount_cents == 2498, "a promotion is rounded half up to a cent");
	struct quote volume = quote_of("DE", 1000, 10, 10);
	check(volume.discount_cents == 1450, "the volume discount comes off what the promotion has left");
	check(quote_tax_percent("NL") == 21, "the tax rate is that of the country");
	check(quote_tax_percent("XX") == 25, "an unknown country pays the highest rate");
}

static const struct {
	const char *name, *body;
	int status;
	const char *answer; /* a part of it */
} CASES[] = {
	{"a quote is answered with totals", "{\"country\":\"DE\",\"lines\":[{\"product_id\":7,\"quantity\":2,\"unit_cents\":3000}]}",
	 200, "\"subtotal_cents\":6000,\"discount_cents\":0,\"shipping_cents\":0,\"tax_cents\":1140,\"total_cents\":7140"},
	{"unknown fields are skipped", "{\"x\":[1,{\"y\":null}],\"country\":\"DE\",\"lines\":[{\"product_id\":7,\"quantity\":1,\"unit_cents\":1,\"z\":\"\\\"\"}]}",
	 200, "\"units\":1"},
	{"a fraction of a cent is refused", "{\"country\":\"DE\",\"lines\":[{\"product_id\":7,\"quantity\":2,\"unit_cents\":30.5}]}",
	 400, "unit_cents: expected an integer"},
	{"a missing field is named", "{\"country\":\"DE\",\"lines\":[{\"product_id\":7,\"quantity\":2}]}", 400, "unit_cents: missing"},
	{"a quantity of zero is refused", "{\"country\":\"DE\",\"lines\":[{\"product_id\":7,\"quantity\":0,\"unit_cents\":1}]}",
	 400, "quantity: out of range"},
	{"no lines are refused", "{\"country\":\"DE\",\"lines\":[]}", 400, "lines: missing"},
	{"half a body is refused", "{\"country\":\"DE\",\"lines\":[{\"product_id\":7,", 400, "error"},
	{"text after the end is refused", "{} {}", 400, "text after the end"},
	{"nothing is refused", "", 400, "expected an object"},
};

static void bodies(void)
{
	char answer[SERVICE_ANSWER_BYTES_MAX];
	for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
		int status = service_quote(CASES[i].body, strlen(CASES[i].body), answer);
		bool ok = status == CASES[i].status && strstr(answer, CASES[i].answer);
		check(ok, CASES[i].name);
		if (!ok)
			printf("# %d %s\n", status, answer);
	}
}

int main(void)
{
	rules();
	bodies();
	printf("1..%d\n", count);
	return failed > 0;
}
