/*
 * The options that every program with a log and a configuration file has, for its table: OPTIONS_PROGRAM(struct ..., SECTION).
 * The struct has the members help, help_markdown, version (bool), config_file (text), log_level and log_format (the enums of
 * log.h).
 */
#ifndef REMORA_OPTIONS_PROGRAM_H
#define REMORA_OPTIONS_PROGRAM_H

#include <stddef.h>

#include "options.h"

/* In the order of log.h's enums. */
extern const char *const options_log_levels[];
extern const char *const options_log_formats[];

/* clang-format off */
#define OPTIONS_PROGRAM_PRINT_(struct_, name_, member_, section_, help_)                           \
    {.name = (name_), .type = OPTION_BOOL, .offset = offsetof(struct_, member_),                   \
     .default_value = "false", .command_only = true, .section = (section_), .help = (help_)}

#define OPTIONS_PROGRAM(struct_, section_)                                                         \
    OPTIONS_PROGRAM_PRINT_(struct_, "help", help, section_, "Print this text and exit."),          \
    OPTIONS_PROGRAM_PRINT_(struct_, "help-markdown", help_markdown, section_,                      \
                           "Print this text as a Markdown page and exit."),                        \
    OPTIONS_PROGRAM_PRINT_(struct_, "version", version, section_, "Print the version and exit."),  \
    {.name = "config", .type = OPTION_PATH, .offset = offsetof(struct_, config_file),              \
     .default_value = "", .section = (section_),                                                   \
     .help = "YAML file whose keys are the names of these options."},                              \
    {.name = "log-level", .type = OPTION_ENUM, .offset = offsetof(struct_, log_level),             \
     .default_value = "info", .choices = options_log_levels, .section = (section_),                \
     .help = "Least severe messages of the program's own log (stderr)."},                          \
    {.name = "log-format", .type = OPTION_ENUM, .offset = offsetof(struct_, log_format),           \
     .default_value = "text", .choices = options_log_formats, .section = (section_),               \
     .help = "Form of the program's own log."}
/* clang-format on */

#endif
