#pragma once

int sum(int left, int right);
