#!/usr/bin/env bash
# A real SLURM on this one machine, for tests: slurm.sh start FOLDER | stop FOLDER. As root, on Debian (slurm-wlm, munge).
# Prints the SLURM_CONF to use.
set -euo pipefail
action=$1 folder=$(realpath -m "$2")

stop() {
  for daemon in slurmd slurmctld munged; do
    pid=$(cat "$folder/$daemon.pid" 2> /dev/null) || continue
    kill "$pid" 2> /dev/null || true
    for _ in $(seq 50); do kill -0 "$pid" 2> /dev/null || break; sleep 0.1; done
    rm -f "$folder/$daemon.pid"
  done
}

if [ "$action" = stop ]; then stop; exit; fi

command -v slurmctld slurmd munged > /dev/null || { echo "install slurm-wlm and munge" >&2; exit 3; }
mkdir -p "$folder"/{state,spool,log,munge}
host=$(hostname -s)
cores=$(nproc)
# a munge of its own: its key, socket and log lie in the folder
[ -f "$folder/munge/key" ] || (umask 077 && head -c 1024 /dev/urandom > "$folder/munge/key")
chmod 700 "$folder/munge" && chmod 400 "$folder/munge/key"
munged --force --key-file="$folder/munge/key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
  --log-file="$folder/munge/log" --seed-file="$folder/munge/seed" --num-threads=2
cat > "$folder/slurm.conf" <<CONF
ClusterName=tests
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# a requeued job waits for as long as credentials last: 120 s, unless told otherwise
AuthInfo=socket=$folder/munge.socket,cred_expire=10
CryptoType=crypto/munge
SlurmctldPort=$((20000 + RANDOM % 10000))
SlurmdPort=$((30000 + RANDOM % 10000))
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
MpiDefault=none
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
MinJobAge=300
KillWait=5
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
NodeName=$host NodeAddr=127.0.0.1 CPUs=$((cores > 4 ? cores : 4)) State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
CONF
export SLURM_CONF=$folder/slurm.conf
slurmctld
slurmd
for _ in $(seq 100); do
  sinfo --noheader --format=%T 2>/dev/null | grep -q idle && { echo "$SLURM_CONF"; exit; }
  sleep 0.1
done
echo "SLURM did not start: $(tail -3 "$folder"/log/*.log)" >&2
stop
exit 1
