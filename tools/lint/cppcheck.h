/* What cppcheck must know of jansson, whose headers it does not read. */
#define json_array_foreach(array, index, value) for (index = 0; (value = json_array_get(array, index)) != NULL; index++)
#define json_object_foreach(object, key, value) for (key = first(object); (value = json_object_get(object, key)) != NULL; key = next())
