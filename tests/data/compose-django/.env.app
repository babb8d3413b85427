DJANGO_SETTINGS_MODULE=blog.settings
export LOG_LEVEL="info" # not debug
# EMPTY=
