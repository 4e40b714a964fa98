/* commands.c: the table of commands: what each one is called, and the prose of its help. */
#include "config.h"

const struct rs_command_info rs_commands[RS_COMMAND_COUNT] = {
    [RS_COMMAND_TRAIN] =
        {
            .name = "train",
            .summary = "Train the network on a folder of images",
            .args_doc = "--data DIR\n--resume RUN_DIR",
            .before = "Train a ResNet on the images of a folder, and validate it after each epoch.",
            .after = "Ctrl-C ends a run early and saves it; --resume goes on where it stopped, with the same "
                     "result as if it had never stopped. Options marked * decide the weights.\n\n"
                     "Examples:\n"
                     "  rstream train --data cifar --out run1 --epochs 2\n"
                     "  rstream train --resume run1 --epochs 20\n"
                     "  rstream train --data photos --precision bf16 --lr 0.001",
        },
    [RS_COMMAND_EVAL] =
        {
            .name = "eval",
            .summary = "Measure weights: loss, accuracy, confusion matrix",
            .args_doc = "--data DIR --weights FILE.safetensors",
            .before =
                "Run weights over the test or validation split of a folder (the folder itself where it has "
                "no splits), and print loss, accuracy, accuracy of each class and the confusion matrix.",
            .after = "Example:\n  rstream eval --data cifar --weights run1/best.safetensors",
        },
    [RS_COMMAND_PREDICT] =
        {
            .name = "predict",
            .summary = "Classify image files",
            .args_doc = "--weights FILE.safetensors IMAGE...",
            .before =
                "Print the likeliest classes of PNG and JPEG files with their probabilities, one line an "
                "image. A file that can't be read gets a line on stderr; the others go on, and the exit code "
                "is 1.",
            .after = "Weights that rstream wrote know the names of their classes; for others, --data names a "
                     "folder "
                     "that knows them, or classes are numbers.\n\n"
                     "Example:\n  rstream predict --weights run1/best.safetensors cat.jpg dog.png",
            .operands_min = 1,
            .operands_max = 1000000,
            .operand = "IMAGE",
        },
    [RS_COMMAND_PREVIEW] =
        {
            .name = "preview",
            .summary = "Show what the network sees of a data set",
            .args_doc = "--data DIR",
            .before =
                "Run the first images of the training split through the loader, in data order, and print "
                "their classes; write them as a tensor for NumPy or as a contact sheet.",
            .after = "Example:\n  rstream preview --data cifar --png sheet.png --npy batch.npy",
        },
    [RS_COMMAND_SUMMARY] =
        {
            .name = "summary",
            .summary = "Print the network: shapes, parameters, work",
            .args_doc = "",
            .before =
                "Print the shape after each block of the network, then a line for each operator: its output "
                "for one image, its parameters and its work (a multiply-add counts as 2 FLOP).",
            .after = "Example:\n  rstream summary --image-size 128 --classes 100",
        },
    [RS_COMMAND_SYNTH] =
        {
            .name = "synth",
            .summary = "Generate a data set of ten learnable classes",
            .args_doc = "OUT_DIR",
            .before =
                "Write a generated data set of ten classes of 32x32 images, for machines without a network "
                "and for tests. The same seed gives the same bytes on every machine.",
            .after = "Example:\n  rstream synth toy --train 5000 --test 1000 && rstream train --data toy",
            .operands_min = 1,
            .operands_max = 1,
            .operand = "OUT_DIR",
        },
    [RS_COMMAND_BENCH] =
        {
            .name = "bench",
            .summary = "Measure the ring, the loader or the training step",
            .args_doc = "ring\npipeline\ntrain",
            .before = "Measure one part on this machine.",
            .after =
                "ring: passes of a token through rstream's ring and through Concurrency Kit's, in turn.\n"
                "pipeline: the loader alone, from files to batches, on --data or on a generated set. Images "
                "a "
                "second count from the first batch to the last; CPU seconds are those of the whole process, "
                "start included.\n"
                "train: the training step alone on cached batches; with --data also a whole run, whose steps "
                "after the first ones (5, on a GPU 20) are compared with it. On a GPU uploads and steps "
                "overlap "
                "in both.\n\n"
                "Examples:\n  rstream bench pipeline --data cifar --workers 1\n"
                "  rstream bench train --precision bf16 --data cifar --steps 100",
            .operands_min = 1,
            .operands_max = 1,
            .operand = "ring|pipeline|train",
        },
    [RS_COMMAND_DEVICES] =
        {
            .name = "devices",
            .summary = "List what can compute on this machine",
            .args_doc = "",
            .before = "List each backend with its library, memory and precisions, or the reason why it can't "
                      "be used "
                      "here.",
            .after = "",
        },
};
