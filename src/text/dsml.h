/* The strings that the prompt writes and the parser reads. */
#ifndef TEXT_DSML_H
#define TEXT_DSML_H

#include <stdbool.h>
#include <stddef.h>

/* Control tokens. The bars are U+FF5C, the blanks inside names U+2581. */
#define TOKEN_BOS "<｜begin▁of▁sentence｜>"
#define TOKEN_EOS "<｜end▁of▁sentence｜>"
#define TOKEN_USER "<｜User｜>"
#define TOKEN_ASSISTANT "<｜Assistant｜>"
#define TOKEN_LATEST_REMINDER "<｜latest_reminder｜>"
#define TOKEN_THINK "<think>"
#define TOKEN_END_THINK "</think>"
#define TOKEN_DSML "｜DSML｜"
#define TOKEN_ACTION "<｜action｜>"
#define TOKEN_QUERY "<｜query｜>"
#define TOKEN_AUTHORITY "<｜authority｜>"
#define TOKEN_DOMAIN "<｜domain｜>"
#define TOKEN_TITLE "<｜title｜>"
#define TOKEN_READ_URL "<｜read_url｜>"

/* Tags of a block of tool calls; PREFIX is TOKEN_DSML, or what a model writes in its place by mistake. */
#define TAG_CALLS(PREFIX) "<" PREFIX "tool_calls>"
#define TAG_END_CALLS(PREFIX) "</" PREFIX "tool_calls>"
#define TAG_END_INVOKE(PREFIX) "</" PREFIX "invoke>"
#define TAG_END_PARAMETER(PREFIX) "</" PREFIX "parameter>"
/* How a string value that contains the closing tag spells it. The only escape inside values. */
#define ESCAPED_END_PARAMETER(PREFIX) "&lt;/" PREFIX "parameter>"

/* An attribute's value, as written; bytes is NULL if the tag does not have the attribute. */
typedef struct dsml_attribute {
    const char *bytes;
    size_t n_bytes;
} dsml_attribute;

/* <PREFIX kind name="..." string="...">, of which name is required. */
typedef struct dsml_open_tag {
    dsml_attribute name, string;
} dsml_open_tag;

/* Takes an opening tag apart. text is a tag from "<" to ">"; kind is "invoke" or "parameter". False if it is
 * anything else. Names are literal: they hold no entities, and no double quote. */
bool dsml_read_open_tag(const char *text, size_t n_bytes, const char *prefix, const char *kind, dsml_open_tag *tag);

bool dsml_attribute_is(dsml_attribute value, const char *string);

#endif
