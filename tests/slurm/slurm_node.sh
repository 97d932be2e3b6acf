#!/bin/bash
# A Slurm of one node on this machine, for the tests: no systemd, no cgroups, no accounting. Must run as root.
#   slurm_node.sh start DIR   starts munged, slurmctld and slurmd with everything in DIR; prints the SLURM_CONF to export
#   slurm_node.sh stop DIR    stops the two Slurm daemons of DIR
# Debian packages: slurm-wlm munge
set -euo pipefail

verb=${1:?start or stop}
mkdir -p "${2:?folder of the node}"
node=$(cd "$2" && pwd)
host=$(hostname -s)
export SLURM_CONF=$node/slurm.conf

# One munged for all nodes of this machine; two that start at once would each try.
start_munge() {
    install -d -o munge -g munge -m 0755 /run/munge
    (
        flock 9
        if ! munge -n >/dev/null 2>&1; then
            su -s /bin/sh munge -c /usr/sbin/munged 9>&-
        fi
    ) 9>/run/munge.lock
}

# `--all`: without it nproc takes OMP_NUM_THREADS for the number of cores.
write_configuration() {
    mkdir -p "$node/state" "$node/spool"
    cat >"$SLURM_CONF" <<CONF
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${VALENCEFLOW_SLURM_PORT:-6817}
SlurmdPort=$((${VALENCEFLOW_SLURM_PORT:-6817} + 1))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$node/state
SlurmdSpoolDir=$node/spool
SlurmctldPidFile=$node/slurmctld.pid
SlurmdPidFile=$node/slurmd.pid
SlurmctldLogFile=$node/slurmctld.log
SlurmdLogFile=$node/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=1,sched_interval=2
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
ReturnToService=2
MaxArraySize=1001
KillWait=5
# On a busy machine everything takes long, and by default Slurm then gives up: a message is resent, a job that is not
# launched within 10 s is started again, a node whose processes are not dead within 60 s gets no more jobs.
MessageTimeout=90
TCPTimeout=60
BatchStartTimeout=300
UnkillableStepTimeout=600
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc --all) RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
}

wait_until_idle() {
    for _ in $(seq 240); do
        if [ "$(sinfo -h -o %t 2>/dev/null)" = idle ]; then
            return
        fi
        sleep 0.5
    done
    echo "the node did not become idle within two minutes; see $node/slurmctld.log and $node/slurmd.log" >&2
    exit 1
}

case $verb in
start)
    start_munge
    write_configuration
    slurmctld
    slurmd
    wait_until_idle
    echo "$SLURM_CONF"
    ;;
stop)
    scancel --user="$(id -un)" 2>/dev/null || true
    for daemon in slurmd slurmctld; do
        if [ -f "$node/$daemon.pid" ]; then
            pid=$(cat "$node/$daemon.pid")
            kill "$pid" 2>/dev/null || true
            # It writes its state before it ends, for which the folder has to be there.
            timeout 120 tail --pid="$pid" -f /dev/null || true
        fi
    done
    ;;
*)
    echo "$verb is neither start nor stop" >&2
    exit 2
    ;;
esac
