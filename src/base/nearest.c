/* Edit distance with swaps of neighbours (optimal string alignment), over short words. */
#include "base/nearest.h"

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t edits_allowed(size_t length)
{
	return length <= 3 ? 1 : length <= 5 ? 2 : 3;
}

static size_t edits_between(struct view a, struct view b)
{
	size_t rows[3][NEAREST_WORD_MAX + 1] = {0};
	size_t *before = rows[0];
	size_t *above = rows[1];
	size_t *row = rows[2];

	for (size_t j = 0; j <= b.length; j++)
		above[j] = j;
	for (size_t i = 1; i <= a.length; i++) {
		size_t *recycled = before;

		row[0] = i;
		for (size_t j = 1; j <= b.length; j++) {
			size_t change = a.at[i - 1] == b.at[j - 1] ? 0 : 1;

			row[j] = least(above[j - 1] + change, least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a.at[i - 1] == b.at[j - 2] && a.at[i - 2] == b.at[j - 1])
				row[j] = least(row[j], before[j - 2] + 1);
		}
		before = above;
		above = row;
		row = recycled;
	}
	return above[b.length];
}

struct nearest nearest_new(struct view word)
{
	return (struct nearest){.word = word, .edits = edits_allowed(word.length) + 1};
}

void nearest_offer(struct nearest *nearest, const char *name)
{
	struct view other = view_of(name);
	size_t edits;

	if (nearest->word.length > NEAREST_WORD_MAX || other.length > NEAREST_WORD_MAX)
		return;
	edits = edits_between(nearest->word, other);
	if (edits < nearest->edits && edits < other.length && edits < nearest->word.length) {
		nearest->edits = edits;
		nearest->name = name;
	}
}
