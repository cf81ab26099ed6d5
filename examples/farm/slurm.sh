#!/bin/bash
# Colours the pieces of a planned film on a Slurm cluster, and joins them:
#     filmcolor plan FILM -o OUT --work DIR
#     slurm.sh DIR [options of sbatch for the pieces, such as --cpus-per-task=4 --mem=4G]
set -euo pipefail
work=$1

if [[ ${SLURM_ARRAY_TASK_ID-} ]]; then # on a node: one piece
    filmcolor piece "$work" "$SLURM_ARRAY_TASK_ID" && exit || code=$?
    if ((code == 75 && ${SLURM_RESTART_COUNT:-0} < 10)); then # try again
        scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
        sleep infinity # until Slurm ends this attempt
    fi
    exit "$code"
fi

last=$(($(wc -l < "$work/commands.txt") - 1))
# --requeue: Slurm starts a piece again after a node failure or preemption
pieces=$(sbatch --parsable --job-name=pieces --array="0-$last" --requeue --open-mode=append \
    --output="$work/piece-%a.log" "${@:2}" "$0" "$work")
sbatch --job-name=join --dependency="afterok:$pieces" --kill-on-invalid-dep=yes --requeue \
    --output="$work/join.log" --wrap="filmcolor join $(printf %q "$work")"
