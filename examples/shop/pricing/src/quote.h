/* Prices an order: promotion, volume discount, shipping, tax. Money is whole cents, never a floating point number. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUOTE_LINES_MAX 50
#define QUOTE_QUANTITY_MAX 99
#define QUOTE_UNIT_CENTS_MAX 10000000

struct quote_line {
	int64_t product_id;
	int64_t quantity;
	int64_t unit_cents;
	int64_t discount_percent; /* of the promotion, 0 if there is none */
	int64_t gross_cents; /* from here on: results */
	int64_t discount_cents;
	int64_t net_cents;
};

struct quote {
	char country[3];
	size_t line_count;
	struct quote_line lines[QUOTE_LINES_MAX];
	int64_t subtotal_cents; /* before discounts; from here on: results */
	int64_t discount_cents;
	int64_t shipping_cents;
	int64_t tax_cents;
	int64_t total_cents;
};

/* Fills in the results. The inputs must be in the ranges above. */
void quote_compute(struct quote *quote);

/* The tax rate of a country in percent; those we do not know pay the highest. */
int64_t quote_tax_percent(const char *country);
