/* Options, and keys of --json, that several commands have: for their rows. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "tool.h"

#define REMOTE(TEXT)                                                                               \
    {                                                                                              \
        OPTION_REMOTE, 0, "remote", "REMOTE", TEXT, false                                          \
    }
/* clang-format off */
#define LIBRARY                                                                                    \
    {OPTION_LIBRARY, 0, "library", "URL", "this library, not HOME/models", false},                 \
    {OPTION_BLOBS, 0, "blobs", "URL", "where its files are, when not beside its records", false}
#define MESSAGE {OPTION_MESSAGE, 'm', "message", "TEXT", "why; goes into the history", false}
#define PASSWORD {OPTION_PASSWORD_STDIN, 0, "password-stdin", NULL,                                \
                  "the key's password is the first line of stdin", false}
#define KEY {OPTION_KEY, 0, "key", "FILE", "the secret key (HOME/key.pem)", false}
#define COMMENT {OPTION_COMMENT, 0, "comment", "TEXT", "one line, which is signed, too", false}
#define REQUIRE_SIGNATURE {OPTION_REQUIRE_SIGNATURE, 0, "require-signature", NULL,                 \
                           "fail unless a key that you trust signed it", false}
#define TRUST {OPTION_TRUST, 0, "trust", "FILE", "this policy, not HOME/trust.json", false}
#define EXPECT {OPTION_EXPECT, 0, "expect", "VERSION",                                             \
        "move the alias only if it stands there (none: nowhere)", false}
/* clang-format on */

#define PACKAGE_KEYS                                                                               \
    "name, version, tag, digest, file, size, time, facts, signed, description, components, "       \
    "dependencies, entry_points, latest"
#define MODEL_KEYS                                                                                 \
    "name, version, time, who, why, tags, metrics, params, parent, environment, imports, parts, "  \
    "aliases"

#endif
