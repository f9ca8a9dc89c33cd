/* Reads lines from the terminal, with editing and a history that is kept in a file. */
#ifndef CLI_LINE_EDITOR_H
#define CLI_LINE_EDITOR_H

#include "base/error.h"

typedef struct line_editor line_editor;

typedef enum line_result { LINE_READ, LINE_CANCELLED /* Ctrl-C */, LINE_END /* Ctrl-D or no more input */ } line_result;

/* prompt must outlive it. history_path may be NULL: no file. */
ds4_status line_editor_new(const char *prompt, const char *history_path, line_editor **editor, ds4_error *error);
/* line: without its newline, valid until the next call. */
line_result line_editor_read(line_editor *editor, const char **line, size_t *n_bytes);
/* Puts a line into the history and its file. The file is a convenience: failing to write it is no error. */
void line_editor_remember(line_editor *editor, const char *line);
void line_editor_free(line_editor *editor);

#endif
