/* Makes a package of a file, checks it, lists it and unpacks it.
 *
 *     cc package.c $(pkg-config --cflags --libs exia) && ./a.out NEW_DIRECTORY */
#include <stdio.h>
#include <sys/stat.h>

#include <exia.h>

int main(int argc, char **argv)
{
    exia_error err = {0};
    exia_package *package = NULL;
    exia_rows *files = NULL;
    char *file = NULL;
    const char *row;
    int failed = 1;
    char text[4096], workspace[4096], target[4096], unpacked[4096];
    FILE *hello;

    if (argc != 2 || mkdir(argv[1], 0777) != 0) {
        fprintf(stderr, "usage: %s NEW_DIRECTORY\n", argv[0]);
        return 2;
    }
    snprintf(text, sizeof text, "%s/hello.txt", argv[1]);
    snprintf(workspace, sizeof workspace, "%s/workspace", argv[1]);
    snprintf(target, sizeof target, "%s/hello.veda", argv[1]);
    snprintf(unpacked, sizeof unpacked, "%s/unpacked", argv[1]);

    hello = fopen(text, "w");
    if (hello == NULL || fputs("Hello.\n", hello) < 0 || fclose(hello) != 0) {
        perror(text);
        return 1;
    }

    /* A workspace is a directory with a veda.json; `add` copies into it. */
    if (exia_workspace_new(workspace, "hello", &err) < 0 ||
        exia_workspace_add(workspace, text, "doc", NULL, &err) < 0 ||
        exia_package_write(&file, workspace, target, NULL, NULL, &err) < 0)
        goto done;
    printf("wrote %s\n", file);

    /* Opening reads the index and the record; verifying reads everything. */
    if (exia_package_open(&package, file, &err) < 0 ||
        exia_package_verify(package, NULL, NULL, &err) < 0)
        goto done;
    printf("%s\n", exia_package_facts(package));

    if (exia_package_files(&files, package, &err) < 0)
        goto done;
    while (exia_rows_next(&row, files, &err) == EXIA_OK)
        printf("%s\n", row);

    /* Unpacking verifies on the way: the directory is filled whole or not at all. */
    if (exia_package_unpack(package, unpacked, NULL, NULL, &err) < 0)
        goto done;
    printf("unpacked into %s\n", unpacked);
    failed = 0;
done:
    if (failed)
        fprintf(stderr, "package: %s\n", err.text);
    exia_rows_free(files);
    exia_package_free(package);
    exia_text_free(file);
    return failed;
}
