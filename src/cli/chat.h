/* One exchange as the one-shot and the interactive chat both show it. */
#ifndef CLI_CHAT_H
#define CLI_CHAT_H

#include "cli/cli.h"
#include "cli/conversation.h"

/* Asks, prints the answer while it comes and the speeds behind it. interrupted() ends the answer. */
ds4_status chat_ask(conversation *talk, const char *text, size_t n_bytes, size_t limit, answer_report *report,
                    ds4_error *error);
/* Says so if maximum effort is chosen and the context is too small for it. */
void chat_note_effort(think_effort chosen, size_t context_tokens);
/* The interactive chat, until the user leaves. Returns the exit status. */
int chat_interactive(const cli_options *options, const cli_model *model, conversation *talk);

#endif
