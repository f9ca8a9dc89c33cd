/*
 * The published files of the model family by name, and those of them that are on this machine.
 *
 * Downloaded files lie in one folder, $XDG_DATA_HOME/ds4 or else ~/.local/share/ds4. A file that was put elsewhere has
 * a symbolic link there. A name is found if its file, or where the link leads to, exists under the final name: an
 * unfinished download has another one.
 */
#ifndef MODEL_PUBLISHED_H
#define MODEL_PUBLISHED_H

#include "ds4.h"

typedef struct published_file {
    const char *name; /* as in `ds4 pull q2` */
    const char *file_name;
    bool is_model; /* the others only belong to one */
} published_file;

/* Ends with a NULL name. Models are in the order in which one is chosen when several are there: those that more
 * machines can run come first. */
extern const published_file published_files[];

/* NULL if there is none of that name. */
const published_file *published_find(const char *name);

/* "q2, q2-imatrix, ..." for messages. */
#define PUBLISHED_NAMES "q2, q2-imatrix, q4, q4-imatrix, mtp"
#define PUBLISHED_BASE_URL "https://huggingface.co/antirez/deepseek-v4-gguf/resolve/main"

/* All of these give strings that the caller frees. */

/* base_url NULL: PUBLISHED_BASE_URL. */
ds4_status published_url(const published_file *file, const char *base_url, char **url, ds4_error *error);
/* The folder of downloaded files, whether or not it exists. NULL if the environment has neither XDG_DATA_HOME nor
 * HOME. */
ds4_status published_folder(char **folder, ds4_error *error);
/* Where the file of a name lies. NULL if it is not there, or there is no such name. */
ds4_status published_find_local(const char *name, char **path, ds4_error *error);
/* The model to use when none was chosen. NULL, NULL if none is there. */
ds4_status published_choose(const published_file **file, char **path, ds4_error *error);
/* What a user means by a name: the file at this path, or else the downloaded one of this name. Otherwise the name
 * itself comes back, for whoever opens it to complain; but a published name without its file is DS4_ERROR_IO, and the
 * message says how to get it. */
ds4_status published_resolve(const char *name, char **path, ds4_error *error);

#endif
