#include "cli/line_editor.h"

#include "base/memory.h"
#include "cli/terminal.h"

#include <fcntl.h>
#include <histedit.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HISTORY_LINES = 512 };

struct line_editor {
    EditLine *edit;
    History *history;
    const char *prompt;
    char *history_path; /* NULL: no file */
    bool cancelled;
    ds4_buffer line;
};

static line_editor *editor_of(EditLine *edit) {
    void *self = NULL;
    el_get(edit, EL_CLIENTDATA, &self);
    return self;
}

static char *editor_prompt(EditLine *edit) {
    return (char *)(uintptr_t)editor_of(edit)->prompt;
}

static unsigned char cancel_line(EditLine *edit, int key) {
    (void)key;
    editor_of(edit)->cancelled = true;
    return CC_NEWLINE;
}

static unsigned char suspend(EditLine *edit, int key) {
    (void)edit, (void)key;
    raise(SIGTSTP); /* the editor's own handler gives the terminal back first */
    return CC_REDISPLAY;
}

/* Only the user may read what was typed, also if the file was not there before. */
static void history_load(line_editor *self) {
    HistEvent event;
    int fd = open(self->history_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        free(self->history_path);
        self->history_path = NULL;
        return;
    }
    close(fd);
    history(self->history, &event, H_LOAD, self->history_path);
}

static bool editor_start(line_editor *self) {
    FILE *screen = is_terminal(stdout) ? stdout : stderr;
    HistEvent event;
    self->history = history_init();
    self->edit = el_init("ds4", stdin, screen, stderr);
    if (!self->history || !self->edit) return false;
    history(self->history, &event, H_SETSIZE, HISTORY_LINES);
    history(self->history, &event, H_SETUNIQUE, 1);
    el_set(self->edit, EL_CLIENTDATA, self);
    el_set(self->edit, EL_PROMPT, editor_prompt);
    el_set(self->edit, EL_EDITOR, "emacs");
    el_set(self->edit, EL_SIGNAL, 1); /* follows changes of the window's size */
    el_set(self->edit, EL_HIST, history, self->history);
    /* Ctrl-C is a key while a line is edited: as a signal it would end the program or, caught, leave the
     * half-typed line in the editor. */
    el_set(self->edit, EL_SETTY, "-d", "-isig", NULL);
    el_wset(self->edit, EL_ADDFN, L"ds4-cancel", L"drop the line", cancel_line); /* el_set leaks the names */
    el_set(self->edit, EL_BIND, "^C", "ds4-cancel", NULL);
    el_wset(self->edit, EL_ADDFN, L"ds4-suspend", L"suspend the program", suspend);
    el_set(self->edit, EL_BIND, "^Z", "ds4-suspend", NULL);
    el_set(self->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(self->edit, NULL); /* ~/.editrc */
    return true;
}

ds4_status line_editor_new(const char *prompt, const char *history_path, line_editor **editor, ds4_error *error) {
    line_editor *self = array_new(1, sizeof *self);
    if (!self) return error_memory(error, "line editor", sizeof *self);
    self->prompt = prompt;
    self->history_path = history_path ? strdup(history_path) : NULL;
    if ((history_path && !self->history_path) || !editor_start(self)) {
        line_editor_free(self);
        return error_set(error, DS4_ERROR_IO, "cannot start the line editor");
    }
    if (self->history_path) history_load(self);
    *editor = self;
    return DS4_OK;
}

line_result line_editor_read(line_editor *self, const char **line, size_t *n_bytes) {
    int n = 0;
    self->cancelled = false;
    buffer_clear(&self->line);
    const char *text = el_gets(self->edit, &n);
    if (self->cancelled) {
        fputs("\n", is_terminal(stdout) ? stdout : stderr);
        return LINE_CANCELLED;
    }
    if (!text || n <= 0) return LINE_END;
    size_t length = strlen(text);
    if (length && text[length - 1] == '\n') length--;
    if (!buffer_append(&self->line, text, length)) return LINE_END;
    *line = self->line.data;
    *n_bytes = length;
    return LINE_READ;
}

void line_editor_remember(line_editor *self, const char *line) {
    HistEvent event;
    if (history(self->history, &event, H_ENTER, line) < 0 || !self->history_path) return;
    history(self->history, &event, H_SAVE, self->history_path);
}

void line_editor_free(line_editor *self) {
    if (!self) return;
    if (self->edit) el_end(self->edit);
    if (self->history) history_end(self->history);
    ds4_buffer_deinit(&self->line);
    free(self->history_path);
    free(self);
}
