/*
 * Runs a fuzz target once over each file of its corpus: the regression test where libFuzzer is not linked.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static int replay_file(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return -1;
    }
    enum { INPUT_MAX = 1 << 20 };
    uint8_t *bytes = malloc(INPUT_MAX);
    if (bytes == NULL) {
        fclose(file);
        return -1;
    }
    size_t len = fread(bytes, 1, INPUT_MAX, file);
    fclose(file);
    /* An exact allocation, so that the sanitizer sees the first byte read past the end. */
    uint8_t *exact = malloc(len == 0 ? 1 : len);
    if (exact != NULL) {
        memcpy(exact, bytes, len);
        LLVMFuzzerTestOneInput(exact, len);
    }
    free(exact);
    free(bytes);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
        return 2;
    }
    DIR *dir = opendir(argv[1]);
    if (dir == NULL) {
        perror(argv[1]);
        return 1;
    }
    unsigned num_files = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        if (replay_file(argv[1], entry->d_name) < 0)
            return 1;
        num_files++;
    }
    closedir(dir);
    printf("%u inputs replayed\n", num_files);
    return num_files == 0;
}
