/* Four processes do at two homes and two remotes, at random, all that can be done with packages; three
 * of them are killed again and again, and now and then their disk is full for a moment.  Each call leaves a
 * note, and at the end all that was seen must follow from what was told.  On the way, and at the end, nothing
 * is there in part, what is installed is what was packed and has what it needs, and what is kept beside does
 * not grow.
 *
 * EXIA_SECONDS and EXIA_SEED make it longer and another one. */
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/depot.h"
#include "support/disk.h"
#include "support/packages.h"
#include "support/trace.h"
#include "support/witness.h"

enum { PROCESSES = 4, MORTALS = 3, KILL_MS = 60, ALL_DIE = 40, FULL = 30, DISK_MB = 400 };

/* A process and what it has in hand. */
typedef struct actor {
    exia_registry *homes[WITNESS_HOMES];
    uint32_t dice;
    int number;
} actor;

static const char *const homes[] = {"disk/home-0", "disk/home-1"}, *const remotes[] = {"there-0",
                                                                                       "there-1"};
/* Fixed before anybody is forked: paths of the test cost memory each time. */
static const char *home_paths[WITNESS_HOMES], *remote_paths[WITNESS_REMOTES], *disk;
static witness_note **under_way; /* by process */

static uint32_t roll(uint32_t *dice, uint32_t sides)
{
    *dice ^= *dice << 13;
    *dice ^= *dice >> 17;
    *dice ^= *dice << 5;
    return *dice % sides;
}

static double duration(void)
{
    const char *given = getenv("EXIA_SECONDS");
    return given ? atof(given) : 8;
}

/* ---- what is seen ---------------------------------------------------------------------------- */

static const char *text_of(const json_t *row, const char *member)
{
    const char *text = json_string_value(json_object_get(row, member));
    return text ? text : "";
}

/* Two bits an item; no row may be broken or unknown. */
static exia_status collect(uint64_t *seen, exia_rows *rows, exia_error *why)
{
    const char *line = NULL;
    exia_status rc;
    while ((rc = exia_rows_next(&line, rows, why)) == EXIA_OK) {
        json_t *row = json_loads(line, 0, NULL);
        int item = stock_find(text_of(row, "name"), text_of(row, "version"));
        int content = item < 0 ? STOCK_NONE : stock_content(item, text_of(row, "digest"));
        if (content == STOCK_NONE || json_object_get(row, "conflict") != NULL)
            witness_wrong("a row that cannot be: %.300s", line);
        else if ((*seen >> (2 * item) & 3) != 0)
            witness_wrong("two rows for one identity: %.300s", line);
        else
            *seen |= (uint64_t)content << (2 * item);
        json_decref(row);
    }
    exia_rows_free(rows);
    return rc == EXIA_DONE ? EXIA_OK : rc;
}

static exia_status see(witness_note *note, exia_registry *registry, exia_error *why)
{
    exia_rows *rows = NULL;
    exia_status rc =
        note->deed == SEE_INSTALLED
            ? exia_registry_installed(&rows, registry, NULL, why)
            : exia_registry_query(&rows, registry, NULL,
                                  note->deed == SEE ? NULL : remotes[note->remote], why);
    return rc == EXIA_OK ? collect(&note->seen, rows, why) : rc;
}

/* ---- a deed ---------------------------------------------------------------------------------- */

static exia_status carry(const actor *self, const witness_note *note, exia_error *why)
{
    char path[400];
    const char *package = stock[note->item].package;
    snprintf(path, sizeof path, "%s/bundle-%d.tar", remote_paths[0], self->number);
    exia_status rc =
        exia_registry_export(NULL, self->homes[1 - note->home], &package, 1, path, NULL, NULL, why);
    return rc == EXIA_OK ? exia_registry_import(NULL, self->homes[note->home], path, NULL, why)
                         : rc;
}

/* Nobody damages anything here: only the link to a current version may wait for somebody to set it.
 *
 * @param of_files  of what is registered, and not of what is installed */
static exia_status repair(exia_registry *registry, const char *remote, int of_files,
                          exia_error *why)
{
    const exia_check_options options = {.struct_size = sizeof options, .repair = 1};
    exia_rows *rows = NULL;
    const char *line = NULL;
    exia_status rc =
        of_files ? exia_registry_check_files(&rows, registry, NULL, remote, &options, NULL, why)
                 : exia_registry_check(&rows, registry, NULL, &options, NULL, why);
    while (rc == EXIA_OK && (rc = exia_rows_next(&line, rows, why)) == EXIA_OK) {
        json_t *row = json_loads(line, 0, NULL);
        if (strcmp(text_of(row, "path"), "current") != 0)
            witness_wrong("a repair found %.300s", line);
        json_decref(row);
    }
    exia_rows_free(rows);
    return rc == EXIA_DONE ? EXIA_OK : rc;
}

static exia_status prune(exia_registry *registry, exia_error *why)
{
    const exia_prune_options options = {.struct_size = sizeof options, .apply = 1};
    exia_rows *rows = NULL;
    exia_status rc = exia_registry_prune(&rows, registry, &options, NULL, why);
    exia_rows_free(rows);
    return rc;
}

static exia_status perform(const actor *self, witness_note *note, exia_error *why)
{
    exia_registry *registry = self->homes[note->home];
    const stock_item *item = &stock[note->item];
    const char *there = remotes[note->remote];
    char facts[40];
    int other = note->content == STOCK_OTHER;
    const exia_install_options options = {
        .struct_size = sizeof options, .upgrade = other, .keep_current = other && note->remote};
    snprintf(facts, sizeof facts, "{\"n\": %ld}", (long)(note - witness->notes));
    switch (note->deed) {
    case REGISTER:
    case REGISTER_AWAY:
        return exia_registry_register(registry, item->file[note->content],
                                      note->deed == REGISTER ? NULL : there, NULL, why);
    case UPDATE:
    case UPDATE_AWAY:
        return exia_registry_update(registry, item->package, facts,
                                    note->deed == UPDATE ? NULL : there, why);
    case UNREGISTER:
    case UNREGISTER_AWAY:
        return exia_registry_unregister(registry, item->package,
                                        note->deed == UNREGISTER ? NULL : there, why);
    case PUSH:
        return exia_registry_push(NULL, registry, item->package, there, NULL, NULL, why);
    case PULL:
        return exia_registry_pull(NULL, registry, item->package, there, NULL, NULL, why);
    case INSTALL:
    case INSTALL_AWAY:
        return exia_registry_install(NULL, registry, item->package,
                                     note->deed == INSTALL ? NULL : there, &options, NULL, why);
    case UNINSTALL:
        return exia_registry_uninstall(registry, item->package, why);
    case ACTIVATE:
        return exia_registry_activate(registry, item->package, NULL, why);
    case REPAIR:
        return repair(registry, note->home ? NULL : there, other, why);
    case PRUNE:
        return prune(registry, why);
    case CARRY:
        return carry(self, note, why);
    default:
        return see(note, registry, why);
    }
}

/* May a call answer this, when nothing is broken? */
static int may_answer(witness_deed deed, exia_status rc)
{
    int found =
        deed != REGISTER && deed != REGISTER_AWAY && deed != REPAIR && deed != PRUNE && deed < SEE;
    return rc == EXIA_OK || (rc == EXIA_ENOSPACE && disk != NULL) ||
           (rc == EXIA_ENOTFOUND && found) ||
           (rc == EXIA_EEXISTS && (deed == REGISTER || deed == REGISTER_AWAY || deed == PUSH ||
                                   deed == PULL || deed == INSTALL_AWAY || deed == CARRY)) ||
           (rc == EXIA_ECONFLICT && (deed == INSTALL || deed == INSTALL_AWAY || deed == UNINSTALL));
}

static witness_deed choose(uint32_t *dice)
{
    static const uint8_t shares[DEEDS] = {14, 2,  3, 2, 9, 4, 12, 13, 12,
                                          8,  12, 4, 2, 2, 4, 4,  4,  3};
    uint32_t all = 0, die;
    for (int i = 0; i < DEEDS; i++)
        all += shares[i];
    die = roll(dice, all);
    int deed = 0;
    while (die >= shares[deed])
        die -= shares[deed++];
    return (witness_deed)deed;
}

static void act(actor *self)
{
    exia_error why = {0};
    witness_deed deed = choose(&self->dice);
    int home = (int)roll(&self->dice, WITNESS_HOMES),
        remote = (int)roll(&self->dice, WITNESS_REMOTES);
    witness_note *note = witness_begin(deed, home, remote, (int)roll(&self->dice, STOCK_ITEMS));
    if (note == NULL)
        return;
    under_way[self->number] = note;
    note->content = roll(&self->dice, 4) == 0 ? STOCK_OTHER : STOCK_ONE;
    exia_status rc = perform(self, note, &why);
    witness_end(note, rc);
    under_way[self->number] = NULL;
    if (!may_answer(deed, rc))
        witness_wrong("%s %s, home %d, remote %d: %s", witness_verbs[deed],
                      stock[note->item].package, home, remote, why.text);
}

/* ---- a process ------------------------------------------------------------------------------- */

static void close_homes(actor *self)
{
    for (int i = 0; i < WITNESS_HOMES; i++) {
        exia_registry_free(self->homes[i]);
        self->homes[i] = NULL;
    }
}

static void open_homes(actor *self)
{
    exia_error why = {0};
    exia_status rc = EXIA_OK;
    for (int i = 0; rc == EXIA_OK && i < WITNESS_HOMES; i++)
        rc = exia_registry_open(&self->homes[i], home_paths[i], &why);
    if (rc < 0)
        close_homes(self);
    if (rc < 0 && (rc != EXIA_ENOSPACE || disk == NULL))
        witness_wrong("a home does not open: %s", why.text);
}

static void live(int number, double until, uint32_t seed)
{
    actor self = {.dice = seed * 2654435761u + (uint32_t)number + 1, .number = number};
    while (witness_now() < until && atomic_load(&witness->wrong) == 0) {
        if (self.homes[0] == NULL)
            open_homes(&self);
        if (self.homes[0] == NULL)
            continue;
        uint32_t die = roll(&self.dice, 100);
        int home = (int)roll(&self.dice, WITNESS_HOMES);
        if (die < 90)
            act(&self);
        else if (die < 94)
            depot_look_at_installed(self.homes[home], home_paths[home], roll(&self.dice, 1000));
        else if (die < 96)
            depot_look_under_lock(self.homes[home], home_paths[home]);
        else if (die < 98)
            depot_look_at_registered(self.homes[home], home_paths[home], roll(&self.dice, 1000));
        else if (die < 99)
            depot_look_at_blobs(remote_paths[roll(&self.dice, WITNESS_REMOTES)],
                                roll(&self.dice, 1000));
        else
            close_homes(&self);
    }
    close_homes(&self);
}

static pid_t start(int number, double until, uint32_t seed)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        live(number, until, seed);
        _exit(0);
    }
    return pid;
}

/* What the dead one had in hand ends with it. */
static void end(pid_t pid, int number)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    if (under_way[number] != NULL)
        under_way[number]->end = witness_now();
    under_way[number] = NULL;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void open_places(void)
{
    const char *path = check_path("disk");
    disk = disk_mount(path, DISK_MB) ? path : NULL;
    for (int r = 0; r < WITNESS_REMOTES; r++)
        remote_paths[r] = check_format("%s/%s", path, remotes[r]);
    for (int h = 0; h < WITNESS_HOMES; h++) {
        exia_registry *registry = open_home(homes[h]);
        home_paths[h] = check_path(homes[h]);
        for (int r = 0; r < WITNESS_REMOTES; r++) {
            check_ok(exia_registry_remote_add(
                registry, remotes[r], check_format("sqlite:%s/records.db", remote_paths[r]),
                check_format("file:%s/packages", remote_paths[r]), &err));
            (void)mkdir(remote_paths[r], 0755);
        }
        exia_registry_free(registry);
    }
}

static void fail_if_wrong(void)
{
    if (atomic_load(&witness->wrong) > 0)
        fail_msg("%s", witness->text);
}

/* Nobody is there any more: homes are opened again, and all that is there is looked at. */
static void look_at_the_end(void)
{
    for (int h = 0; h < WITNESS_HOMES; h++) {
        exia_registry_free(open_home(homes[h]));
        exia_registry *registry = open_home(homes[h]);
        depot_look_at_all(registry, home_paths[h]);
        for (int deed = SEE; deed < DEEDS; deed++) {
            witness_note *note = witness_begin((witness_deed)deed, h, deed == SEE_AWAY ? h : 0, 0);
            check_ok(see(note, registry, &err));
            witness_end(note, EXIA_OK);
        }
        depot_look_for_orphans(registry, home_paths[h]);
        exia_registry_free(registry);
    }
    for (int r = 0; r < WITNESS_REMOTES; r++)
        depot_look_at_remote(remote_paths[r], witness->offered[r]);
    fail_if_wrong();
}

TEST(four_processes_that_are_killed_leave_homes_and_remotes_whole)
{
    pid_t pids[PROCESSES];
    const char *given = getenv("EXIA_SEED");
    uint32_t seed = given ? (uint32_t)atoi(given) : 1, dice = seed + 1;
    depot_peak peak = {0};
    long kills = 0, done[DEEDS] = {0}, all = 0;
    witness = trace_shared(sizeof *witness);
    under_way = trace_shared(PROCESSES * sizeof *under_way);
    check_in_memory();
    stock_make();
    open_places();
    double begin = witness_now(), until = begin + duration();
    for (int i = 0; i < PROCESSES; i++)
        pids[i] = start(i, until, seed);
    while (witness_now() < until && atomic_load(&witness->wrong) == 0) {
        if (disk != NULL)
            disk_leave(disk, roll(&dice, FULL) == 0 ? (long)roll(&dice, 1500) : -1);
        nanosleep(&(struct timespec){.tv_nsec = 1000000 + roll(&dice, KILL_MS * 1000000)}, NULL);
        int everybody = roll(&dice, ALL_DIE) == 0, which = (int)roll(&dice, MORTALS);
        for (int i = everybody ? 0 : which; i < (everybody ? MORTALS : which + 1); i++) {
            end(pids[i], i);
            kills++;
        }
        for (int i = everybody ? 0 : which; i < (everybody ? MORTALS : which + 1); i++)
            pids[i] = start(i, until, ++seed);
        for (int h = 0; h < WITNESS_HOMES; h++)
            depot_measure(&peak, home_paths[h]);
        for (int r = 0; r < WITNESS_REMOTES; r++)
            depot_measure(&peak, remote_paths[r]);
        depot_measure_process(&peak, pids[MORTALS], witness_now() > begin + duration() / 4);
    }
    if (disk != NULL)
        disk_leave(disk, -1);
    for (int i = 0; i < PROCESSES; i++) {
        int status = 0;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("a process ended with status %x", (unsigned)status);
    }
    fail_if_wrong();
    look_at_the_end();
    long sights = witness_replay();
    fail_if_wrong();
    double longest = 0;
    long without_room = 0;
    for (int i = 0; i < atomic_load(&witness->count); i++) {
        witness_note *note = &witness->notes[i];
        done[note->deed] += note->told && note->status == EXIA_OK;
        all += note->told;
        without_room += note->told && note->status == EXIA_ENOSPACE;
        longest =
            note->told && note->end - note->begin > longest ? note->end - note->begin : longest;
    }
    print_message(
        "%ld calls, %ld without room, %ld kills, %ld sights explained; longest call %.0f ms\n", all,
        without_room, kills, sights, longest * 1000);
    for (int i = 0; i < DEEDS; i++)
        print_message("%s%s %ld", i ? ", " : "", witness_verbs[i], done[i]);
    print_message("\n");
    depot_check_peak(&peak);
    if (disk != NULL)
        disk_unmount(disk);
}
