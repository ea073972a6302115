/**
 * The system calls of a container whose seccomp profile is RuntimeDefault: those that the default profile of containerd and Docker allows
 * (https://docs.docker.com/engine/security/seccomp/), as data. What no rule names fails with EPERM.
 */

export interface SeccompRule {
  /** Names, parted by white space. Those that the machine does not know are passed over. */
  calls: string
  /** Only for containers that have one of these capabilities. */
  having?: readonly string[]
  /** Only for containers that lack this capability. */
  lacking?: string
  /** Only on these, as Node names them. */
  architectures?: readonly string[]
  args?: readonly { index: number; value: number; valueTwo?: number; op: 'SCMP_CMP_EQ' | 'SCMP_CMP_NE' | 'SCMP_CMP_MASKED_EQ' }[]
  /** The call fails with this error in place of being allowed. */
  errno?: number
}

const ENOSYS = 38
const AF_VSOCK = 40
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET: every kind of new namespace. */
const NEW_NAMESPACES = 0x7e020000
/** PER_LINUX, PER_LINUX32 (0x8), both with UNAME26 (0x20000), and the question which it is. */
const PERSONALITIES = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff]

export const defaultRules: readonly SeccompRule[] = [
  // Files and directories.
  {
    calls: `
    access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 fadvise64_64
    fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr
    fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr getxattrat
    ioctl lchown lchown32 lgetxattr link linkat listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir
    mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead
    readlink readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir setxattr setxattrat stat stat64 statfs statfs64
    statx symlink symlinkat sync sync_file_range syncfs truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes
    write writev`,
  },
  // Pipes, copies within the kernel, waiting for files, asynchronous input and output. io_uring is not among them.
  {
    calls: `
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 fanotify_mark
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64
    io_setup io_submit ioprio_get ioprio_set _newselect pipe pipe2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select sendfile
    sendfile64 splice tee vmsplice`,
  },
  // Memory.
  {
    calls: `
    brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap
    mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages`,
  },
  // Processes, threads and signals.
  {
    calls: `
    alarm execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list
    get_thread_area getcpu getpgid getpgrp getpid getppid getpriority getrlimit getrusage getsid gettid kill pause pidfd_open
    pidfd_send_signal prctl prlimit64 restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
    rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity
    sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
    sched_setparam sched_setscheduler sched_yield set_robust_list set_thread_area set_tid_address setpgid setpriority setrlimit setsid
    sigaltstack signalfd signalfd4 sigprocmask sigreturn tgkill tkill ugetrlimit vfork wait4 waitid waitpid`,
  },
  // Looking into other processes of the container, which kernels from 4.8 on let no filter be evaded by.
  { calls: 'process_vm_readv process_vm_writev ptrace' },
  // Users, capabilities, and giving up rights.
  {
    calls: `
    capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 getresuid getresuid32
    getuid getuid32 landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp setfsgid setfsgid32 setfsuid setfsuid32 setgid
    setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32`,
  },
  // Sockets.
  {
    calls: `
    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg send sendmmsg
    sendmsg sendto setsockopt shutdown socketcall socketpair`,
  },
  { calls: 'socket', args: [{ index: 0, value: AF_VSOCK, op: 'SCMP_CMP_NE' }] },
  // Messages, semaphores and shared memory.
  {
    calls: `
    ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget
    msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget`,
  },
  // Time, and what the system is.
  {
    calls: `
    adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
    clock_nanosleep_time64 getitimer getrandom gettimeofday nanosleep setitimer sysinfo time timer_create timer_delete timer_getoverrun
    timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
    timerfd_settime64 times uname`,
  },
  ...PERSONALITIES.map((value): SeccompRule => ({ calls: 'personality', args: [{ index: 0, value, op: 'SCMP_CMP_EQ' }] })),

  // New processes, but no new namespaces. The flags of clone3 are in memory, where a filter cannot see them: libraries then take clone.
  {
    calls: 'clone',
    lacking: 'CAP_SYS_ADMIN',
    architectures: ['x64', 'arm64', 'arm', 'riscv64', 'ppc64'],
    args: [{ index: 0, value: NEW_NAMESPACES, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
  },
  {
    calls: 'clone',
    lacking: 'CAP_SYS_ADMIN',
    architectures: ['s390x'],
    args: [{ index: 1, value: NEW_NAMESPACES, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
  },
  { calls: 'clone3', lacking: 'CAP_SYS_ADMIN', errno: ENOSYS },

  // What comes with a capability.
  {
    calls: `
    bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount
    mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare`,
    having: ['CAP_SYS_ADMIN'],
  },
  { calls: 'open_by_handle_at', having: ['CAP_DAC_READ_SEARCH'] },
  { calls: 'reboot', having: ['CAP_SYS_BOOT'] },
  { calls: 'chroot', having: ['CAP_SYS_CHROOT'] },
  { calls: 'delete_module finit_module init_module', having: ['CAP_SYS_MODULE'] },
  { calls: 'acct', having: ['CAP_SYS_PACCT'] },
  { calls: 'kcmp pidfd_getfd process_madvise', having: ['CAP_SYS_PTRACE'] },
  { calls: 'ioperm iopl', having: ['CAP_SYS_RAWIO'] },
  { calls: 'clock_settime clock_settime64 settimeofday stime', having: ['CAP_SYS_TIME'] },
  { calls: 'vhangup', having: ['CAP_SYS_TTY_CONFIG'] },
  { calls: 'get_mempolicy mbind set_mempolicy set_mempolicy_home_node', having: ['CAP_SYS_NICE'] },
  { calls: 'syslog', having: ['CAP_SYSLOG'], lacking: 'CAP_SYS_ADMIN' },
  { calls: 'bpf', having: ['CAP_BPF'], lacking: 'CAP_SYS_ADMIN' },
  { calls: 'perf_event_open', having: ['CAP_PERFMON'], lacking: 'CAP_SYS_ADMIN' },

  // What comes with a kind of processor.
  { calls: 'arch_prctl modify_ldt', architectures: ['x64'] },
  { calls: 'arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2', architectures: ['arm64', 'arm'] },
  { calls: 'swapcontext sync_file_range2', architectures: ['ppc64'] },
  { calls: 'riscv_flush_icache riscv_hwprobe', architectures: ['riscv64'] },
  { calls: 's390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr', architectures: ['s390x'] },
]
