#!/usr/bin/env bash
# A real SLURM of a single node in a directory of its own: to try submissions without a cluster, and for the tests.
#
#   slurm/local_cluster.sh start|stop|status|restart-node [DIR]
#
# Needs root in a container or virtual machine, and Debian's packages slurm-wlm and munge. `start` prints what to export.
# No systemd, no cgroups, no accounting. Read at `start`:
#   CPUS             processors that the node says it has, 4 by default; more than there are is allowed
#   MAX_ARRAY_SIZE   MaxArraySize, 1001 by default
set -euo pipefail

usage() {
    echo "error: usage is slurm/local_cluster.sh start|stop|status|restart-node [DIR]" >&2
    exit 2
}

command=${1:-}
dir=${2:-${TMPDIR:-/tmp}/streaming-rl-slurm}
case $command in start | stop | status | restart-node) ;; *) usage ;; esac
[ "$#" -le 2 ] || usage

export SLURM_CONF=$dir/slurm.conf
node=$(hostname -s)

alive() { # NAME: whether the daemon of this directory runs, and not a later process of the same number
    local pid
    pid=$(cat "$dir/$1.pid" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ]
}

end() { # NAME: ask the daemon to end, and wait for it
    local pid
    alive "$1" || return 0
    pid=$(cat "$dir/$1.pid")
    kill "$pid"
    for _ in $(seq 100); do
        alive "$1" || return 0
        sleep 0.1
    done
    kill -KILL "$pid"
}

until_true() { # WHAT COMMAND...: wait for a command to succeed, or say what never came
    local what=$1
    shift
    for _ in $(seq 300); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    echo "error: $what did not come up within 30 s; the logs are in $dir." >&2
    exit 1
}

node_ready() { sinfo --noheader --states=idle,mixed,allocated --format=%n | grep -q .; }
queue_empty() { [ -z "$(squeue --noheader)" ]; }

start_node() {
    slurmd -N "$node" -f "$SLURM_CONF"
    until_true slurmd node_ready
}

start() {
    for program in munged slurmctld slurmd; do
        if ! command -v "$program" >/dev/null; then
            echo "error: $program is missing; apt-get install slurm-wlm munge brings it." >&2
            exit 2
        fi
    done
    if [ "$(id -u)" != 0 ]; then
        echo "error: the daemons want to be root; run this in a container or virtual machine." >&2
        exit 2
    fi
    if alive slurmctld; then
        echo "error: a cluster runs in $dir already; \`slurm/local_cluster.sh stop $dir\` ends it." >&2
        exit 2
    fi
    mkdir -p "$dir/state" "$dir/spool" "$dir/munge"
    chmod 755 "$dir" "$dir/munge"
    dd if=/dev/urandom of="$dir/munge/key" bs=1024 count=1 status=none
    chmod 400 "$dir/munge/key"
    # Ports that nobody uses, so that several clusters can live side by side.
    read -r controller_port node_port < <(python3 -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in sockets))')
    cat >"$SLURM_CONF" <<CONF
ClusterName=local
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=$controller_port
SlurmdPort=$node_port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# A requeued job may start again only when the credential of its last start has expired.
AuthInfo=socket=$dir/munge/socket,cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=100000,batch_sched_delay=0,bf_interval=5
MaxArraySize=${MAX_ARRAY_SIZE:-1001}
JobRequeue=1
KillWait=30
# A job older than this and MessageTimeout (10 s) that a node does not know of when it comes back is requeued at once.
BatchStartTimeout=2
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=$node NodeAddr=127.0.0.1 NodeHostname=$node CPUs=${CPUS:-4} RealMemory=4000 State=UNKNOWN
PartitionName=local Nodes=$node Default=YES MaxTime=INFINITE State=UP
CONF
    munged --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" --pid-file="$dir/munged.pid" \
        --log-file="$dir/munge/log" --seed-file="$dir/munge/seed" 2>"$dir/munged.err" || {
        echo "error: munged does not start: $(tail -1 "$dir/munged.err")" >&2
        exit 1
    }
    slurmctld -f "$SLURM_CONF"
    until_true slurmctld scontrol ping
    start_node
    echo "export SLURM_CONF=$SLURM_CONF"
}

stop() {
    if alive slurmctld && alive munged; then
        squeue --noheader --format=%A | sort -u | xargs --no-run-if-empty scancel >/dev/null 2>&1 || true
        until_true "the end of all jobs" queue_empty
    fi
    end slurmd
    end slurmctld
    end munged
}

case $command in
    start) start ;;
    stop) stop ;;
    restart-node)
        end slurmd
        start_node
        ;;
    status)
        alive slurmctld || {
            echo "no cluster runs in $dir; \`slurm/local_cluster.sh start $dir\` starts one."
            exit 1
        }
        sinfo
        squeue
        ;;
esac
