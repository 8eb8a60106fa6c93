/** One entry of the catalogue: how the HTTP API and the command line report an error. */
export interface ErrorSpec {
  /** HTTP status. */
  readonly status: number;
  /** Exit code of the CLI. */
  readonly exit: number;
  /** The meaning of the error, for docs/errors.md. */
  readonly meaning: string;
  /** What to do; an error may carry a more specific hint. */
  readonly hint: string;
}

/**
 * All errors that a user can get. `docs/errors.md` is generated from this table. Codes and exit codes
 * are a contract.
 *
 * Exit codes: 1 unexpected · 2 usage · 3 sidecar not reachable · 4 held by another freeze ·
 * 5 engine failed (rolled back) · 6 timeout (rolled back) · 7 not consistent or nothing frozen.
 */
export const catalogue = {
  USAGE: {
    status: 422,
    exit: 2,
    meaning: 'The command line has an unknown or malformed flag or argument.',
    hint: 'Run the command with --help.',
  },
  CONFIG_INVALID: {
    status: 500,
    exit: 2,
    meaning:
      'The configuration has unknown, missing or malformed settings; the message lists all of them.',
    hint: 'Fix the settings that the message lists and start again.',
  },
  SOCKET_IN_USE: {
    status: 500,
    exit: 2,
    meaning:
      'Another living process listens on the control socket (or guards the state directory).',
    hint: 'Stop the other sidecar, or give this one its own QUIESCE_SOCKET and QUIESCE_STATE_DIR.',
  },
  SOCKET_UNUSABLE: {
    status: 500,
    exit: 2,
    meaning: 'The control socket cannot be created at its path.',
    hint: 'Point QUIESCE_SOCKET at a path in a writable directory that is not taken by another file.',
  },
  SIDECAR_UNREACHABLE: {
    status: 503,
    exit: 3,
    meaning:
      'Nothing answers on the control socket, or no sidecar could be reached through the Kubernetes API.',
    hint: 'Check that the quiesce container runs and that QUIESCE_SOCKET is the path of its socket.',
  },
  BAD_REQUEST: {
    status: 400,
    exit: 2,
    meaning: 'The request is not well-formed HTTP.',
    hint: 'Send an HTTP/1.1 request, for example with curl.',
  },
  INVALID_JSON: {
    status: 400,
    exit: 2,
    meaning: 'The request body is not JSON.',
    hint: "Send a JSON object, for example '{}', or no body at all.",
  },
  INVALID_FIELD: {
    status: 422,
    exit: 2,
    meaning: 'A field of the request is unknown, missing, of the wrong type or out of bounds.',
    hint: 'Fix the field that the message names and call again; nothing was changed.',
  },
  BODY_TOO_LARGE: {
    status: 413,
    exit: 2,
    meaning: 'The request body is larger than 64 KiB (8 MiB for the webhook).',
    hint: 'Send only the documented fields.',
  },
  UNSUPPORTED_MEDIA_TYPE: {
    status: 415,
    exit: 2,
    meaning: 'The request body is not declared as JSON.',
    hint: "Add the header 'content-type: application/json'.",
  },
  REQUEST_TIMEOUT: {
    status: 408,
    exit: 2,
    meaning: 'The request did not arrive completely within 10 s.',
    hint: 'Send headers and body without a pause.',
  },
  EXPECTATION_FAILED: {
    status: 417,
    exit: 2,
    meaning: 'The request has an Expect header with a value other than 100-continue.',
    hint: 'Send the request without an Expect header.',
  },
  HEADERS_TOO_LARGE: {
    status: 431,
    exit: 2,
    meaning: 'The request has more than 100 headers, or headers larger than 16 KiB in total.',
    hint: 'Send only the necessary headers.',
  },
  TOO_MANY_CONNECTIONS: {
    status: 503,
    exit: 3,
    meaning:
      'More connections are open than a listener keeps, and this one had not sent a complete request; or too many requests wait on one connection.',
    hint: 'Send the request immediately after connecting, and close the connection after the answer.',
  },
  HOST_REFUSED: {
    status: 403,
    exit: 2,
    meaning:
      'The Host header of a request to the loopback port is neither localhost nor 127.0.0.1.',
    hint: 'Call it as http://127.0.0.1:PORT or http://localhost:PORT.',
  },
  ORIGIN_REFUSED: {
    status: 403,
    exit: 2,
    meaning: 'A web page sent the request to the loopback port (it carries an Origin header).',
    hint: 'Call the API from a program, not from a browser.',
  },
  UNAUTHORIZED: {
    status: 401,
    exit: 2,
    meaning: 'The loopback port requires a bearer token, and the request has none or a wrong one.',
    hint: "Send 'authorization: Bearer …' with the token in QUIESCE_CONTROL_TOKEN, or use the Unix socket.",
  },
  NOT_FOUND: {
    status: 404,
    exit: 2,
    meaning: 'There is no such route.',
    hint: 'GET /openapi.json lists the routes.',
  },
  METHOD_NOT_ALLOWED: {
    status: 405,
    exit: 2,
    meaning: 'The route exists, but not with this method.',
    hint: 'The Allow header of the answer lists the methods.',
  },
  RECEIPT_NOT_FOUND: {
    status: 404,
    exit: 7,
    meaning: 'The sidecar keeps no receipt with this id; it keeps the last ten.',
    hint: 'quiesce receipts (GET /v1/receipts) lists the receipts kept.',
  },
  FREEZE_HELD: {
    status: 409,
    exit: 4,
    meaning: 'Another freeze holds the database; one freeze at a time.',
    hint: 'Wait for its end with: quiesce freeze --wait. To end it, so that its backup fails: quiesce thaw --abandon --id ID',
  },
  VOLUME_IN_USE: {
    status: 409,
    exit: 4,
    meaning:
      'Another living sidecar uses the data volume, as the previous pod does during a rollout; nothing was changed.',
    hint: 'Freeze through that sidecar, or wait until it has ended: this one then takes over.',
  },
  FREEZE_TIMEOUT: {
    status: 504,
    exit: 6,
    meaning: 'The hold was not in place by the timeout; everything was rolled back.',
    hint: 'Look for a slow checkpoint or a stalled server, or raise --timeout (below the hook timeout).',
  },
  FREEZE_ABORTED: {
    status: 409,
    exit: 5,
    meaning: 'The freeze was ended before its hold was in place; everything was rolled back.',
    hint: 'A thaw came, the caller went away or the sidecar is stopping: see its log, then freeze again.',
  },
  COPY_UNSUPPORTED: {
    status: 422,
    exit: 5,
    meaning: 'The freeze cannot keep its promise for the configured copy method and these volumes.',
    hint: 'Use a copy method that fits the volumes (QUIESCE_COPY).',
  },
  NOT_FROZEN: {
    status: 409,
    exit: 7,
    meaning: 'There is nothing to thaw: no such freeze is held or on record.',
    hint: 'If a backup expected a freeze, treat that backup as failed.',
  },
  ALREADY_THAWED: {
    status: 409,
    exit: 7,
    meaning:
      'The freeze was thawed before, and that thaw reported its success: a success is reported once.',
    hint: 'If that thaw was not yours, mark the backup as failed: its copy may have been cut after the release. To retry a call, send it again with the same Idempotency-Key.',
  },
  IDEMPOTENCY_KEY_REUSED: {
    status: 422,
    exit: 2,
    meaning:
      'The Idempotency-Key was used before: with another route or body, or for a freeze that has ended while another one is open.',
    hint: 'Give each call its own key, and repeat a key only to retry the same call.',
  },
  NOT_CONSISTENT: {
    status: 409,
    exit: 7,
    meaning:
      'The database is released, but the hold is not proven: a copy made during it proves nothing.',
    hint: 'Mark the backup as failed; the reasons in the receipt say why.',
  },
  NOT_VERIFIED: {
    status: 409,
    exit: 7,
    meaning: 'The running database was not proven to contain what the receipt promises.',
    hint: 'The failed checks say what is missing or could not be proven.',
  },
  NOTHING_TO_ACKNOWLEDGE: {
    status: 409,
    exit: 7,
    meaning: 'No restore is unproven or refused, so there is nothing to acknowledge.',
    hint: 'quiesce status shows the level of the restore.',
  },
  JOURNAL_FAILED: {
    status: 503,
    exit: 5,
    meaning:
      'The state directory cannot be written, so a freeze could not survive a crash; nothing was frozen.',
    hint: 'Make QUIESCE_STATE_DIR writable and make sure that it has free space.',
  },
  SHUTTING_DOWN: {
    status: 503,
    exit: 5,
    meaning: 'The sidecar is stopping and accepts no new freeze.',
    hint: 'Call again when it has restarted.',
  },
  ENGINE_UNREACHABLE: {
    status: 502,
    exit: 5,
    meaning: 'The database does not answer.',
    hint: 'Check that the server runs and that the connection settings of the sidecar point to it.',
  },
  ENGINE_STARTING: {
    status: 502,
    exit: 5,
    meaning: 'The database is starting up, shutting down or in crash recovery.',
    hint: 'Call again when it accepts connections.',
  },
  ENGINE_BUSY: {
    status: 503,
    exit: 5,
    meaning:
      'Verifications of this database run one at a time, and earlier ones took all of the time.',
    hint: 'Call again when they have ended; a deep check can take minutes.',
  },
  ENGINE_AUTH: {
    status: 502,
    exit: 5,
    meaning: 'The database refused the credentials of the sidecar.',
    hint: 'Check user, password and the server’s own access rules.',
  },
  ENGINE_PRIVILEGE: {
    status: 502,
    exit: 5,
    meaning: 'The role of the sidecar lacks a privilege that the message names.',
    hint: 'Run the statement in the message as a superuser.',
  },
  ENGINE_TLS: {
    status: 502,
    exit: 5,
    meaning: 'TLS to the database failed or does not meet the configured mode.',
    hint: 'Check the TLS mode, the root certificate and the host name.',
  },
  ENGINE_VERSION: {
    status: 502,
    exit: 5,
    meaning: 'This engine does not support the version of the database.',
    hint: 'Use a supported version, or a release of quiesce that supports this one.',
  },
  ENGINE_POOLER: {
    status: 502,
    exit: 5,
    meaning: 'A connection pooler is between the sidecar and the database.',
    hint: 'Connect the sidecar directly to the database server.',
  },
  ENGINE_DATA_MISMATCH: {
    status: 502,
    exit: 5,
    meaning:
      'The data under QUIESCE_DATA_DIR belongs to another server than the one that the sidecar is connected to.',
    hint: 'Mount the volume of this server, or connect to the server of this volume.',
  },
  ENGINE_REPLAY_PAUSED: {
    status: 502,
    exit: 5,
    meaning: 'Replay on the standby was already paused before the freeze, and not by quiesce.',
    hint: 'Find out who paused it and why; then, if it may continue: SELECT pg_wal_replay_resume();',
  },
  ENGINE_NOT_STREAMING: {
    status: 502,
    exit: 5,
    meaning:
      'The replica receives nothing from its primary, or cannot query it, so its lag is unknown.',
    hint: 'Fix replication (PostgreSQL: pg_stat_wal_receiver and pg_stat_replication; Redis: INFO replication) and freeze again.',
  },
  ENGINE_NO_PERSISTENCE: {
    status: 502,
    exit: 5,
    meaning: 'The server stores nothing on disk: a copy of its volume has nothing to restore.',
    hint: 'Turn on persistence (for Redis: appendonly yes, or save points), or leave this server out of the backup.',
  },
  ENGINE_RESOURCES: {
    status: 502,
    exit: 5,
    meaning: 'There is not enough memory, disk space or time for the freeze; nothing was held.',
    hint: 'Give the server the resource that the message names, and freeze again.',
  },
  VOLUME_NOT_SYNCED: {
    status: 502,
    exit: 5,
    meaning:
      'The kernel could not write a file of the data volume to the disk, so a snapshot would lack it. The freeze was rolled back.',
    hint: 'Look for errors of the disk (dmesg) and for a full disk or quota (df), then write the file again: until it is written, what was lost stays lost.',
  },
  ENGINE_LOCKED: {
    status: 502,
    exit: 5,
    meaning: 'Another client holds the fsync lock of the server (MongoDB).',
    hint: 'Find out who locked it and why; then, if it may be released: db.fsyncUnlock() as an administrator.',
  },
  ENGINE_MAJORITY: {
    status: 502,
    exit: 5,
    meaning: 'With this member frozen the replica set could no longer elect a primary (MongoDB).',
    hint: 'Bring the other members up (rs.status()). If others are frozen, too: back up one of them, and label the pods and claims of the rest velero.io/exclude-from-backup: "true".',
  },
  ENGINE_BEHIND: {
    status: 502,
    exit: 5,
    meaning:
      'This member lacks writes that its primary has, and it will not get them or that cannot be known.',
    hint: 'Fix replication (rs.status()) and freeze again, or freeze another member.',
  },
  ENGINE_ROLE: {
    status: 502,
    exit: 5,
    meaning: 'The server has a role in which it cannot be frozen, such as a router or an arbiter.',
    hint: 'Connect the sidecar to a server that holds data.',
  },
  ENGINE_FAILED: {
    status: 502,
    exit: 5,
    meaning:
      'The database failed during a freeze, a thaw or a query; a freeze in progress is rolled back.',
    hint: 'The message contains the error of the database.',
  },
  METADATA_NOT_FOUND: {
    status: 404,
    exit: 7,
    meaning:
      'The copy carries no metadata: it was not cut during a freeze, or its freeze could not write it.',
    hint: 'Give the mount path of the volume, as QUIESCE_DATA_DIR was; the notes of the receipt say why a freeze wrote none.',
  },
  METADATA_INVALID: {
    status: 422,
    exit: 7,
    meaning: 'The metadata of the copy cannot be read, or it is damaged.',
    hint: 'The data itself is not affected; after its first start, quiesce metadata asks the server.',
  },
  RESTORE_ARCHITECTURE: {
    status: 409,
    exit: 7,
    meaning:
      'The copy was made on a machine of another architecture, and the engine does not support its files there.',
    hint: 'Start it on a machine of the architecture of the backup, and move the data from there with a logical dump.',
  },
  RESTORE_RECEIPT_INVALID: {
    status: 422,
    exit: 7,
    meaning: 'The receipt on the volume cannot be read or does not belong to the data next to it.',
    hint: 'Restore the volume again; a copy with a damaged receipt proves nothing.',
  },
  RESTORE_SERVER_RUNNING: {
    status: 409,
    exit: 5,
    meaning: 'A server runs on the data, so prepare-restore must not change it.',
    hint: 'Stop the server, or run prepare-restore as an init container.',
  },
  RESTORE_DATA_PAST: {
    status: 409,
    exit: 7,
    meaning:
      'A server has already run on this copy: the data is past the state the receipt describes.',
    hint: 'Restore the volume again and run prepare-restore before the first start.',
  },
  RESTORE_INCOMPLETE: {
    status: 409,
    exit: 7,
    meaning: 'The copy lacks something the receipt needs, such as PostgreSQL WAL up to the freeze.',
    hint: 'This copy was not cut atomically or was damaged: use another backup.',
  },
  RESTORE_NO_RECEIPT: {
    status: 409,
    exit: 7,
    meaning:
      'The restored volume has no receipt, and --require-receipt (quiesce.dev/restore-requires-receipt) demands one.',
    hint: 'Restore a backup whose thaw was consistent. To start this data as it is, remove the annotation, or the flag.',
  },
  RESTORE_UNWRITABLE: {
    status: 500,
    exit: 5,
    meaning: 'The restored data cannot be read or written by this user.',
    hint: 'Run prepare-restore as the user that owns the data.',
  },
  PLAN_CYCLE: {
    status: 422,
    exit: 2,
    meaning:
      'Members of an application depend on one another in a cycle, by quiesce.dev/depends-on or quiesce.dev/order. The message names one cycle.',
    hint: 'Remove one of the annotations that the message names.',
  },
  PLAN_SELF_DEPENDENCY: {
    status: 422,
    exit: 2,
    meaning:
      'The quiesce.dev/depends-on of a member names the member itself, or a Service that selects its pods.',
    hint: 'Remove the name. Where another kind has the same name, say which: sts/NAME, deploy/NAME, svc/NAME.',
  },
  PLAN_UNKNOWN_NAME: {
    status: 422,
    exit: 2,
    meaning: 'A quiesce.dev/depends-on has a name that no member and no Service has.',
    hint: 'Correct the name; in another namespace it is NAMESPACE/NAME.',
  },
  NO_MEMBERS: {
    status: 422,
    exit: 2,
    meaning: 'The application that the flags choose has no members.',
    hint: 'Check --namespace, --selector and --group.',
  },
  MANIFEST_INVALID: {
    status: 422,
    exit: 2,
    meaning: 'A Kubernetes manifest cannot be read, or has invalid annotations.',
    hint: 'Fix what the message names.',
  },
  NOTHING_TO_INJECT: {
    status: 422,
    exit: 2,
    meaning: 'A manifest is valid, and quiesce inject found nothing in it that can have a sidecar.',
    hint: 'Put the label quiesce.dev/inject: "true" on the pod template; quiesce doctor -f FILE shows what is unprotected.',
  },
  CLUSTER_UNREACHABLE: {
    status: 503,
    exit: 2,
    meaning:
      'The Kubernetes API does not answer, refuses the credentials, or the kubeconfig has no cluster. The verbs of applications (plan, snapshot, snapshots, restore, exporter) exit with 3, as for a sidecar that does not answer.',
    hint: 'Check KUBECONFIG and --context: kubectl get namespaces must work with them.',
  },
  FORBIDDEN: {
    status: 403,
    exit: 3,
    meaning: 'The Kubernetes API refuses a request: the credentials lack a right.',
    hint: 'Grant the right that the message names; the error has a manifest to apply.',
  },
  CLAIM_NOT_BOUND: {
    status: 409,
    exit: 2,
    meaning: 'A claim to be snapshotted does not exist, is being deleted, or has no volume yet.',
    hint: 'kubectl describe the claim; leave out members that do not run, or start them.',
  },
  VOLUME_NOT_SNAPSHOTTABLE: {
    status: 422,
    exit: 2,
    meaning: 'A volume is not one of a CSI driver, so Kubernetes cannot snapshot it.',
    hint: 'Move the data to a storage class of a CSI driver, or leave the member out with --selector.',
  },
  CLAIM_WITHOUT_CLASS: {
    status: 422,
    exit: 2,
    meaning:
      'The driver of a claim has no VolumeSnapshotClass, or the one chosen is another driver’s.',
    hint: 'Create a VolumeSnapshotClass for the driver.',
  },
  SNAPSHOT_CLASS_AMBIGUOUS: {
    status: 422,
    exit: 2,
    meaning: 'A driver has several VolumeSnapshotClasses, and nothing says which one to use.',
    hint: 'Choose one: --snapshot-class DRIVER=CLASS, or the annotation quiesce.dev/snapshot-class on the claim.',
  },
  SNAPSHOT_CLASS_PARAMETERS: {
    status: 422,
    exit: 2,
    meaning:
      'A snapshot class has parameters that its driver refuses, so every snapshot would fail.',
    hint: 'Remove the parameters from the class; classes cannot be changed, so create it anew.',
  },
  SNAPSHOT_API_MISSING: {
    status: 503,
    exit: 2,
    meaning: 'The cluster does not serve snapshot.storage.k8s.io/v1.',
    hint: 'Install the snapshot controller and its custom resource definitions (kubernetes-csi/external-snapshotter).',
  },
  BACKUP_NOT_FOUND: {
    status: 404,
    exit: 2,
    meaning: 'There is no such backup of Velero.',
    hint: 'velero backup get lists the backups; --velero-namespace says where Velero runs.',
  },
  BACKUP_NOT_COMPLETED: {
    status: 409,
    exit: 2,
    meaning:
      'A backup of Velero is under way, has failed, or is being deleted: it has no contents.',
    hint: 'Wait until it is Completed, or choose another backup.',
  },
  BACKUP_UNREACHABLE: {
    status: 503,
    exit: 3,
    meaning:
      'The contents of a backup could not be fetched: Velero gave no URL for them, or the storage does not answer from here.',
    hint: 'The address that Velero gives may be known in the cluster only: run the command there, or set publicUrl in the config of the BackupStorageLocation.',
  },
  BACKUP_INVALID: {
    status: 502,
    exit: 5,
    meaning:
      'The contents of a backup are damaged, incomplete, too large, or not written by Velero.',
    hint: 'velero backup download fetches the same file: see whether tar can list it.',
  },
  RUN_NOT_FOUND: {
    status: 404,
    exit: 2,
    meaning: 'There is no such run.',
    hint: 'quiesce snapshots lists the runs of snapshots; -n or -A says where to look.',
  },
  RECORD_FAILED: {
    status: 502,
    exit: 5,
    meaning:
      'The result of a run could not be written to its objects, so the run does not count as proven.',
    hint: 'The message names the object. The next run marks what is left as failed.',
  },
  PRUNE_FAILED: {
    status: 502,
    exit: 5,
    meaning: 'Objects of a run could not be deleted. What is left is marked as failed.',
    hint: 'Fix what the message names, and prune again.',
  },
  GROUP_NAME_TAKEN: {
    status: 409,
    exit: 2,
    meaning:
      'A part of a namespace is a group with the name of the namespace, so their runs could not be told apart.',
    hint: 'Give the group another name (quiesce.dev/group), or leave out --group.',
  },
  RUN_NOT_RESTORABLE: {
    status: 409,
    exit: 2,
    meaning: 'A run is under way, has failed, or has lost a snapshot: nothing is restored from it.',
    hint: 'Choose a proven run: quiesce snapshots lists them.',
  },
  SNAPSHOT_UNUSABLE: {
    status: 409,
    exit: 5,
    meaning: 'A snapshot of a run is being deleted, is not ready, or is not on the storage.',
    hint: 'Wait until the snapshots are ready (kubectl get volumesnapshot), or choose another run.',
  },
  CLAIM_UNKNOWN: {
    status: 422,
    exit: 2,
    meaning:
      'A run was made by an earlier version, which did not write down what its claims were, and nothing else says it.',
    hint: 'Give the manifests of the claims or of their StatefulSet with -f.',
  },
  CLAIM_EXISTS: {
    status: 409,
    exit: 2,
    meaning: 'The target of a restore has a claim of the same name, which is never overwritten.',
    hint: 'Restore into another namespace with --to, or in place with --replace, which keeps the replaced volume.',
  },
  STORAGE_CLASS_UNFIT: {
    status: 422,
    exit: 2,
    meaning:
      'The StorageClass of a restored claim does not exist, or its driver is not the one that has the snapshot.',
    hint: 'Name one of the same driver: --storage-class-map OLD:NEW.',
  },
  RESTORE_NOT_CREATED: {
    status: 502,
    exit: 5,
    meaning: 'An object of a restore could not be created. What was created stays.',
    hint: 'Fix what the message says, and continue with --resume.',
  },
  OBJECTS_MISSING: {
    status: 409,
    exit: 2,
    meaning:
      'Snapshots hold volumes only, and nothing says which workloads, Secrets and Services use them.',
    hint: 'Give the manifests with -f, or a backup of Velero with --objects-from-backup.',
  },
  REPLACE_IMPOSSIBLE: {
    status: 409,
    exit: 2,
    meaning:
      'A member cannot be restored in place, because only its operator or a person can stop and start its pods. Nothing was changed.',
    hint: 'Restore into another namespace with --to, or delete the member and restore without --replace.',
  },
  RESTORE_NOT_REMOVED: {
    status: 502,
    exit: 5,
    meaning: 'An object that a restore had made or replaced could not be deleted or changed.',
    hint: 'Fix what the message says, and run it again: what is left is found by its labels.',
  },
  NO_VOLUMES: {
    status: 422,
    exit: 2,
    meaning: 'No member of the application has a claim, so there is nothing to cut.',
    hint: 'quiesce plan shows its members and their claims.',
  },
  MEMBER_WITHOUT_SIDECAR: {
    status: 409,
    exit: 2,
    meaning: 'A member has claims, and nothing freezes it.',
    hint: 'Give its pods the label quiesce.dev/inject: "true", or declare quiesce.dev/freeze: none; a run with such a member is never proven.',
  },
  MEMBER_HELD: {
    status: 409,
    exit: 4,
    meaning: 'A member is frozen by somebody else, such as a backup of Velero. It stays frozen.',
    hint: 'Run it again when that freeze has ended; quiesce status in the pod shows whose it is.',
  },
  MEMBER_NOT_READY: {
    status: 409,
    exit: 3,
    meaning: 'A pod of a member does not run, or its sidecar cannot reach the database.',
    hint: 'Bring the pod up (kubectl describe pod) and run it again.',
  },
  RESTORE_TARGET_TAKEN: {
    status: 409,
    exit: 2,
    meaning:
      'A restore would meet objects that exist: a namespace of the target has members or claims of the application, or is being deleted.',
    hint: 'Restore into another namespace (--to), or delete what the message names.',
  },
  RESTORE_NOT_GATED: {
    status: 409,
    exit: 2,
    meaning:
      'The webhook does not hold back pods in a namespace of the target, so nothing would start in order. Nothing was restored.',
    hint: 'Install or upgrade the chart with stagedRestore.enabled, and see that the webhook runs: quiesce doctor.',
  },
  RESTORE_IMPOSSIBLE: {
    status: 409,
    exit: 2,
    meaning:
      'The cluster lacks what a restore needs, such as a storage class, or Velero. Nothing was restored.',
    hint: 'The message names what is missing.',
  },
  RESTORE_FAILED: {
    status: 502,
    exit: 5,
    meaning: 'A step of a staged restore failed. Nothing was deleted.',
    hint: 'Mend what the message names, and go on: quiesce restore --resume RUN.',
  },
  DRILL_NO_SOURCE: {
    status: 404,
    exit: 2,
    meaning:
      'The application has no proven run and no completed backup, or one without any volume.',
    hint: 'Make one (quiesce snapshot), or name one: --from-snapshot or --from-backup.',
  },
  DRILL_NOT_ISOLATED: {
    status: 409,
    exit: 5,
    meaning:
      'A pod of a drill could reach the API server or a pod of production, so nothing of the application was started.',
    hint: 'Use a network plugin that enforces NetworkPolicies for egress, too. In a cluster without one, --mode data --without-isolation still drills single databases.',
  },
  DRILL_SCRATCH_TAKEN: {
    status: 409,
    exit: 2,
    meaning: 'The scratch namespace of a drill exists and is not its own. Nothing was made in it.',
    hint: 'Leave out --scratch, or choose a name that nobody has.',
  },
  RUN_UNDER_WAY: {
    status: 409,
    exit: 4,
    meaning: 'Another run of the same application is under way.',
    hint: 'Wait until it has ended. A run that died is no longer counted after 15 s without a sign of life, a restore after 60 s.',
  },
  RUN_LEASE_LOST: {
    status: 409,
    exit: 5,
    meaning:
      'The run could not renew its Lease in time, so another run may have begun: it thawed and failed.',
    hint: 'Check that the Kubernetes API is reachable and not overloaded, and run it again.',
  },
  RUN_INTERRUPTED: {
    status: 500,
    exit: 5,
    meaning: 'A signal ended the run. Everything that it held was thawed.',
    hint: 'Run it again.',
  },
  RUN_TOO_LATE: {
    status: 504,
    exit: 6,
    meaning:
      'The run, or one of its steps, was not done in time. Everything that it held was thawed.',
    hint: 'Raise the limit that the message names, or find out what is slow.',
  },
  LOOK_TOO_LATE: {
    status: 504,
    exit: 6,
    meaning: 'The application could not be looked at in time.',
    hint: 'Give it more time: --timeout.',
  },
  INTERNAL: {
    status: 500,
    exit: 1,
    meaning: 'Something unexpected failed inside quiesce.',
    hint: 'See the log of the sidecar, and report the error.',
  },
} as const satisfies Record<string, ErrorSpec>;

export type ErrorCode = keyof typeof catalogue;

/** The body of every error answer. */
export interface ErrorBody {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
  readonly field?: string;
}

interface ErrorOptions {
  /** Replaces the catalogue's hint. */
  readonly hint?: string;
  /** The field, flag or setting at fault. */
  readonly field?: string;
  readonly cause?: unknown;
  /** Data sent with the error in an answer, such as the receipt of a failed thaw. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/**
 * An error for users: its message contains no secret. The HTTP API answers with its status and body, the
 * command line exits with its exit code.
 */
export class QuiesceError extends Error {
  override readonly name = 'QuiesceError';
  readonly code: ErrorCode;
  readonly hint: string;
  readonly field: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint ?? catalogue[code].hint;
    this.field = options.field;
    this.details = options.details ?? {};
  }

  get status(): number {
    return catalogue[this.code].status;
  }

  get exit(): number {
    return catalogue[this.code].exit;
  }

  toBody(): ErrorBody {
    const body = { code: this.code, message: this.message, hint: this.hint };
    return this.field === undefined ? body : { ...body, field: this.field };
  }
}

/** Turns any thrown value into an error for users. The text of an unexpected one goes to the log only. */
export function toQuiesceError(error: unknown): QuiesceError {
  if (error instanceof QuiesceError) return error;
  return new QuiesceError('INTERNAL', 'Something unexpected failed; the log says what.', {
    cause: error,
  });
}
