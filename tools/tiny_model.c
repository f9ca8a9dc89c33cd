/* tiny_model NAME OUT.gguf: writes one of the tests' tiny models; NAME-mtp gives its prediction block. */
#include "support/tiny_model.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: tiny_model NAME OUT.gguf\n"
                        "NAME: tiny-a-f, tiny-a-q2, tiny-a-q4, tiny-b-q2, or one of them with -mtp\n");
        return 2;
    }
    char name[64];
    snprintf(name, sizeof name, "%s", argv[1]);
    char *suffix = strstr(name, "-mtp");
    bool mtp = suffix && strcmp(suffix, "-mtp") == 0;
    if (mtp) *suffix = '\0';
    ds4_error error;
    if (tiny_model_write(name, mtp, argv[2], &error) != DS4_OK) {
        fprintf(stderr, "tiny_model: %s\n", error.message);
        return 1;
    }
    return 0;
}
