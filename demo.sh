#!/bin/sh
# Runs the program once, from model file to answer. The model is a generated one with random weights: it
# shows that everything works, not what a trained model says.
set -eu
build=$1
model=$build/demo.gguf
test -f "$model" || "$build/tiny_model" tiny-a-q2 "$model"
echo "\$ ds4 inspect $model | head -n 12"
"$build/ds4" inspect "$model" | head -n 12
echo
echo "\$ ds4 -m $model --think off --seed 1 -n 48 -p 'Hello'"
"$build/ds4" -m "$model" --think off --seed 1 -n 48 -p 'Hello'
echo
echo "That was a tiny model with random weights: the text means nothing. With a real model file:"
echo "    $build/ds4 -m DeepSeek-V4-Flash.gguf -p 'Hello'"
