#include <assert.h>
#include <stdio.h>

#include "sum.h"

int main(void)
{
	assert(sum(1, 2) == 3);
	assert(sum(0, 0) == 0);
	puts("ok");
	return 0;
}
