#!/bin/bash
# Colours one film on a Slurm cluster; FILM, OUT and WORK are on storage that all nodes share:
#     slurm.sh FILM OUT WORK [options of sbatch for the pieces, such as --cpus-per-task=4 --mem=4G]
set -euo pipefail

if [[ ${SLURM_ARRAY_TASK_ID-} ]]; then # on a node: `slurm.sh WORK` colours one piece
    filmcolor piece "$1" "$SLURM_ARRAY_TASK_ID" && exit || code=$?
    if ((code == 75 && ${SLURM_RESTART_COUNT:-0} < 10)); then # 75: try again
        scontrol requeue "$SLURM_JOB_ID"
        sleep infinity # until Slurm stops this attempt
    fi
    exit "$code"
fi

film=$1 out=$2 work=$3
filmcolor plan "$film" -o "$out" --work "$work"
last=$(($(wc -l < "$work/commands.txt") - 1))
# --requeue: Slurm itself starts a piece again after a node failure or preemption
pieces=$(sbatch --parsable --job-name=pieces --array="0-$last" --requeue --open-mode=append \
    --output="$work/piece-%a.log" "${@:4}" "$0" "$work")
sbatch --parsable --job-name=join --dependency="afterok:$pieces" --kill-on-invalid-dep=yes --requeue \
    --output="$work/join.log" --wrap="filmcolor join $(printf %q "$work")"
