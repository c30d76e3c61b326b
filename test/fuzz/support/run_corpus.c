/* Runs a fuzz target over its kept corpus without libFuzzer: main of the fuzz targets in every preset but `fuzz`.
 * The corpus is what earlier fuzzing found worth keeping, so this is a regression test. */
#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    uint8_t *data = NULL;
    size_t size = 0;
    size_t capacity = 0;
    do {
        capacity += 64 * 1024;
        data = realloc(data, capacity);
        if (data == NULL)
            abort();
        size += fread(data + size, 1, capacity - size, file);
    } while (size == capacity);
    int failed = ferror(file) != 0;
    fclose(file);
    /* An exact allocation, so that a read past the input is one past the heap block. */
    uint8_t *exact = malloc(size);
    if (size != 0) {
        if (exact == NULL)
            abort();
        memcpy(exact, data, size);
    }
    free(data);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    size_t files = 0;
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (dir == NULL) {
            if (errno == ENOENT)
                continue;
            failed |= run_file(argv[i]);
            files++;
            continue;
        }
        for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
            char path[4096];
            if (entry->d_name[0] == '.')
                continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            failed |= run_file(path);
            files++;
        }
        closedir(dir);
    }
    printf("%zu inputs\n", files);
    return failed;
}
