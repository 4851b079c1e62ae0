#include "options_program.h"

const char *const options_log_levels[] = {"error", "warn", "info", "debug", NULL};
const char *const options_log_formats[] = {"text", "json", NULL};
