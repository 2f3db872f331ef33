/* For each place and item its changes, by when they began; a sight is compared with those before it. */
#include "support/witness.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ANY = STOCK_CONTENTS, PLACES = 2 * WITNESS_HOMES + WITNESS_REMOTES, NOT_LONGER = 600 };
typedef enum kind { REGISTERED, INSTALLED, OFFERED } kind;

const char *const witness_verbs[DEEDS] = {"register",   "register there",
                                          "update",     "update there",
                                          "unregister", "unregister there",
                                          "push",       "pull",
                                          "install",    "install from there",
                                          "uninstall",  "activate",
                                          "repair",     "prune",
                                          "carry",      "query",
                                          "list",       "query there"};
witness_table *witness;

double witness_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

witness_note *witness_begin(witness_deed deed, int home, int remote, int item)
{
    int number = atomic_fetch_add(&witness->count, 1);
    if (number >= WITNESS_NOTES) {
        atomic_store(&witness->count, WITNESS_NOTES);
        return NULL;
    }
    witness_note *note = &witness->notes[number];
    note->deed = (int8_t)deed;
    note->home = (int8_t)home;
    note->remote = (int8_t)remote;
    note->item = (int8_t)item;
    note->begin = witness_now();
    return note;
}

void witness_end(witness_note *note, exia_status status)
{
    note->end = witness_now();
    note->status = (int16_t)status;
    atomic_store(&note->told, 1);
}

void witness_wrong(const char *format, ...)
{
    va_list arguments;
    if (atomic_fetch_add(&witness->wrong, 1) > 0)
        return;
    va_start(arguments, format);
    vsnprintf(witness->text, sizeof witness->text, format, arguments);
    va_end(arguments);
}

/* ---- what a call says of a place ------------------------------------------------------------- */

static int needs(const char *name, const char *other)
{
    return (name[0] == 'a' && strchr("bd", other[0])) || (name[0] == 'b' && other[0] == 'd') ||
           (name[0] == 'c' && strchr("df", other[0])) || (name[0] == 'f' && other[0] == 'd');
}

typedef struct change {
    double begin, end;
    int content; /* what is there then; ANY: something */
    int sure;    /* it has happened */
} change;

/* @return 0: the note tells of no change there */
static int tells_change(change *out, const witness_note *note, kind what, int where, int item)
{
    int good = note->told && note->status == EXIA_OK;
    int offered = witness->offered[note->remote][item], same = note->item == item;
    *out = (change){note->begin, note->end, -1, good};
    if (note->told && !good && note->deed != INSTALL_AWAY && note->deed != CARRY)
        return 0; /* those two may leave what came before they failed */
    if (what == OFFERED ? note->remote != where : note->home != where)
        return 0;
    switch (note->deed) {
    case REGISTER:
        if (what == REGISTERED && same)
            out->content = note->content;
        break;
    case UNREGISTER:
        if (what == REGISTERED && same)
            out->content = STOCK_NONE;
        break;
    case PULL:
        if (what == REGISTERED && same)
            out->content = offered;
        break;
    case REGISTER_AWAY:
    case PUSH:
        if (what == OFFERED && same)
            out->content = offered;
        break;
    case UNREGISTER_AWAY:
        if (what == OFFERED && same)
            out->content = STOCK_NONE;
        break;
    case UPDATE_AWAY: /* beside an unregister that does not know of it, it keeps what it updates */
        if (what == OFFERED && same)
            out->content = offered;
        out->sure = 0;
        break;
    case UNINSTALL:
        if (what == INSTALLED && same)
            out->content = STOCK_NONE;
        break;
    case INSTALL:
    case INSTALL_AWAY:
        if (!same && !needs(stock[note->item].name, stock[item].name))
            break;
        if (what == INSTALLED) {
            out->content = ANY;
            out->sure = good && same;
        } else if (what == REGISTERED && note->deed == INSTALL_AWAY) {
            out->content = offered; /* what it pulled stays, whatever happens to the rest */
            out->sure = 0;
        }
        break;
    case PRUNE: /* whatever nobody asked for */
        if (what == INSTALLED)
            out->content = STOCK_NONE;
        out->sure = 0;
        break;
    case CARRY:
        if (what == REGISTERED && (same || needs(stock[note->item].name, stock[item].name)))
            out->content = ANY;
        out->sure = good && same;
        break;
    default:
        break;
    }
    return out->content >= 0;
}

/* @return 0: nothing was seen there.  A refusal is a sight, too. */
static int tells_sight(int *content, const witness_note *note, kind what, int where, int item)
{
    static const int shows[] = {SEE, SEE_INSTALLED, SEE_AWAY};
    int missing = note->status == EXIA_ENOTFOUND && note->item == item;
    if (!note->told || (what == OFFERED ? note->remote != where : note->home != where))
        return 0;
    *content = STOCK_NONE;
    if (note->deed == shows[what] && note->status == EXIA_OK) {
        *content = (int)(note->seen >> (2 * item) & 3);
        return 1;
    }
    if (note->deed == REGISTER && note->status == EXIA_EEXISTS && note->item == item) {
        *content = STOCK_ONE + STOCK_OTHER - note->content;
        return what == REGISTERED;
    }
    switch (note->deed) {
    case UNREGISTER:
    case UPDATE:
        return missing && what == REGISTERED;
    case UNREGISTER_AWAY:
    case UPDATE_AWAY:
        return missing && what == OFFERED;
    case PULL:
        return missing && what == OFFERED;
    case PUSH:
        return missing && what == REGISTERED;
    case UNINSTALL:
    case ACTIVATE:
        return missing && what == INSTALLED;
    default:
        return 0;
    }
}

/* ---- replayed -------------------------------------------------------------------------------- */

static int earlier(const void *left, const void *right)
{
    const change *a = left, *b = right;
    return (a->begin > b->begin) - (a->begin < b->begin);
}

/* How many changes began before `time`. */
static size_t begun(const change *changes, size_t count, double time)
{
    size_t low = 0;
    while (low < count) {
        size_t middle = low + (count - low) / 2;
        if (changes[middle].begin < time)
            low = middle + 1;
        else
            count = middle;
    }
    return low;
}

static int explained(const change *changes, size_t count, const witness_note *sight, int content)
{
    double barrier = -1; /* when the last change to something else began that surely was before */
    for (size_t i = begun(changes, count, sight->end); i-- > 0;) {
        const change *one = &changes[i];
        int same = one->content == ANY ? content != STOCK_NONE : one->content == content;
        if (same && one->end > barrier)
            return 1;
        if (!same && one->sure && one->end < sight->begin && one->begin > barrier)
            barrier = one->begin;
        if (one->begin < barrier - NOT_LONGER)
            return 0;
    }
    return barrier < 0 && content == STOCK_NONE;
}

static long replay_one(change *changes, kind what, int where, int item)
{
    static const char *const kinds[] = {"registered in home", "installed in home", "on remote"};
    int notes = atomic_load(&witness->count), content = 0;
    size_t count = 0;
    long sights = 0;
    for (int i = 0; i < notes; i++)
        count += (size_t)tells_change(&changes[count], &witness->notes[i], what, where, item);
    qsort(changes, count, sizeof *changes, earlier);
    for (int i = 0; i < notes; i++) {
        const witness_note *note = &witness->notes[i];
        if (!tells_sight(&content, note, what, where, item))
            continue;
        sights++;
        if (!explained(changes, count, note, content))
            witness_wrong("call %d (%s) saw content %d of %s, %s %d: no call left that there", i,
                          witness_verbs[note->deed], content, stock[item].package, kinds[what],
                          where);
    }
    return sights;
}

long witness_replay(void)
{
    long sights = 0;
    int notes = atomic_load(&witness->count);
    change *changes = calloc((size_t)notes + 1, sizeof *changes);
    for (int item = 0; item < STOCK_ITEMS; item++) {
        for (int where = 0; where < WITNESS_HOMES; where++) {
            sights += replay_one(changes, REGISTERED, where, item);
            sights += replay_one(changes, INSTALLED, where, item);
        }
        for (int where = 0; where < WITNESS_REMOTES; where++)
            sights += replay_one(changes, OFFERED, where, item);
    }
    free(changes);
    return sights;
}
