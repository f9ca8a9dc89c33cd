/* Whether an answer is the JSON that was asked for. */
#ifndef SERVER_ANSWER_FORMAT_H
#define SERVER_ANSWER_FORMAT_H

#include "server/request.h"

/* DS4_OK, or DS4_ERROR_FORMAT and what is wrong: that the text is no JSON, or not an object (FORMAT_JSON_OBJECT), or of
 * another type than the schema's, or lacks one of its required members. No more of the schema is looked at. */
ds4_status format_check(const request *asked, const char *text, size_t n_bytes, ds4_error *error);

#endif
