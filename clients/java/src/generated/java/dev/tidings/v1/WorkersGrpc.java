package dev.tidings.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Work sharing: each event goes to one member of a group, at least once. Two
 * unary calls: any client, any broker, any load balancer.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class WorkersGrpc {

  private WorkersGrpc() {}

  public static final java.lang.String SERVICE_NAME = "tidings.v1.Workers";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.tidings.v1.PullRequest,
      dev.tidings.v1.PullResponse> getPullMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Pull",
      requestType = dev.tidings.v1.PullRequest.class,
      responseType = dev.tidings.v1.PullResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.tidings.v1.PullRequest,
      dev.tidings.v1.PullResponse> getPullMethod() {
    io.grpc.MethodDescriptor<dev.tidings.v1.PullRequest, dev.tidings.v1.PullResponse> getPullMethod;
    if ((getPullMethod = WorkersGrpc.getPullMethod) == null) {
      synchronized (WorkersGrpc.class) {
        if ((getPullMethod = WorkersGrpc.getPullMethod) == null) {
          WorkersGrpc.getPullMethod = getPullMethod =
              io.grpc.MethodDescriptor.<dev.tidings.v1.PullRequest, dev.tidings.v1.PullResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Pull"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.PullRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.PullResponse.getDefaultInstance()))
              .setSchemaDescriptor(new WorkersMethodDescriptorSupplier("Pull"))
              .build();
        }
      }
    }
    return getPullMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.tidings.v1.SettleRequest,
      dev.tidings.v1.SettleResponse> getSettleMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Settle",
      requestType = dev.tidings.v1.SettleRequest.class,
      responseType = dev.tidings.v1.SettleResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.tidings.v1.SettleRequest,
      dev.tidings.v1.SettleResponse> getSettleMethod() {
    io.grpc.MethodDescriptor<dev.tidings.v1.SettleRequest, dev.tidings.v1.SettleResponse> getSettleMethod;
    if ((getSettleMethod = WorkersGrpc.getSettleMethod) == null) {
      synchronized (WorkersGrpc.class) {
        if ((getSettleMethod = WorkersGrpc.getSettleMethod) == null) {
          WorkersGrpc.getSettleMethod = getSettleMethod =
              io.grpc.MethodDescriptor.<dev.tidings.v1.SettleRequest, dev.tidings.v1.SettleResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Settle"))
              .setIdempotent(true)
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.SettleRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.SettleResponse.getDefaultInstance()))
              .setSchemaDescriptor(new WorkersMethodDescriptorSupplier("Settle"))
              .build();
        }
      }
    }
    return getSettleMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static WorkersStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<WorkersStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<WorkersStub>() {
        @java.lang.Override
        public WorkersStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new WorkersStub(channel, callOptions);
        }
      };
    return WorkersStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static WorkersBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<WorkersBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<WorkersBlockingV2Stub>() {
        @java.lang.Override
        public WorkersBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new WorkersBlockingV2Stub(channel, callOptions);
        }
      };
    return WorkersBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static WorkersBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<WorkersBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<WorkersBlockingStub>() {
        @java.lang.Override
        public WorkersBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new WorkersBlockingStub(channel, callOptions);
        }
      };
    return WorkersBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static WorkersFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<WorkersFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<WorkersFutureStub>() {
        @java.lang.Override
        public WorkersFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new WorkersFutureStub(channel, callOptions);
        }
      };
    return WorkersFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Work sharing: each event goes to one member of a group, at least once. Two
   * unary calls: any client, any broker, any load balancer.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Waits up to `wait` for the first event, then answers with what is there.
     * </pre>
     */
    default void pull(dev.tidings.v1.PullRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.PullResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getPullMethod(), responseObserver);
    }

    /**
     * <pre>
     * May go to another broker than Pull. Settling again what is settled in the
     * same way succeeds.
     * </pre>
     */
    default void settle(dev.tidings.v1.SettleRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.SettleResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getSettleMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service Workers.
   * <pre>
   * Work sharing: each event goes to one member of a group, at least once. Two
   * unary calls: any client, any broker, any load balancer.
   * </pre>
   */
  public static abstract class WorkersImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return WorkersGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service Workers.
   * <pre>
   * Work sharing: each event goes to one member of a group, at least once. Two
   * unary calls: any client, any broker, any load balancer.
   * </pre>
   */
  public static final class WorkersStub
      extends io.grpc.stub.AbstractAsyncStub<WorkersStub> {
    private WorkersStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected WorkersStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new WorkersStub(channel, callOptions);
    }

    /**
     * <pre>
     * Waits up to `wait` for the first event, then answers with what is there.
     * </pre>
     */
    public void pull(dev.tidings.v1.PullRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.PullResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getPullMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * May go to another broker than Pull. Settling again what is settled in the
     * same way succeeds.
     * </pre>
     */
    public void settle(dev.tidings.v1.SettleRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.SettleResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getSettleMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service Workers.
   * <pre>
   * Work sharing: each event goes to one member of a group, at least once. Two
   * unary calls: any client, any broker, any load balancer.
   * </pre>
   */
  public static final class WorkersBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<WorkersBlockingV2Stub> {
    private WorkersBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected WorkersBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new WorkersBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Waits up to `wait` for the first event, then answers with what is there.
     * </pre>
     */
    public dev.tidings.v1.PullResponse pull(dev.tidings.v1.PullRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getPullMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * May go to another broker than Pull. Settling again what is settled in the
     * same way succeeds.
     * </pre>
     */
    public dev.tidings.v1.SettleResponse settle(dev.tidings.v1.SettleRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getSettleMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service Workers.
   * <pre>
   * Work sharing: each event goes to one member of a group, at least once. Two
   * unary calls: any client, any broker, any load balancer.
   * </pre>
   */
  public static final class WorkersBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<WorkersBlockingStub> {
    private WorkersBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected WorkersBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new WorkersBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Waits up to `wait` for the first event, then answers with what is there.
     * </pre>
     */
    public dev.tidings.v1.PullResponse pull(dev.tidings.v1.PullRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getPullMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * May go to another broker than Pull. Settling again what is settled in the
     * same way succeeds.
     * </pre>
     */
    public dev.tidings.v1.SettleResponse settle(dev.tidings.v1.SettleRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getSettleMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service Workers.
   * <pre>
   * Work sharing: each event goes to one member of a group, at least once. Two
   * unary calls: any client, any broker, any load balancer.
   * </pre>
   */
  public static final class WorkersFutureStub
      extends io.grpc.stub.AbstractFutureStub<WorkersFutureStub> {
    private WorkersFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected WorkersFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new WorkersFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Waits up to `wait` for the first event, then answers with what is there.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.tidings.v1.PullResponse> pull(
        dev.tidings.v1.PullRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getPullMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * May go to another broker than Pull. Settling again what is settled in the
     * same way succeeds.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.tidings.v1.SettleResponse> settle(
        dev.tidings.v1.SettleRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getSettleMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_PULL = 0;
  private static final int METHODID_SETTLE = 1;

  private static final class MethodHandlers<Req, Resp> implements
      io.grpc.stub.ServerCalls.UnaryMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ServerStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ClientStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.BidiStreamingMethod<Req, Resp> {
    private final AsyncService serviceImpl;
    private final int methodId;

    MethodHandlers(AsyncService serviceImpl, int methodId) {
      this.serviceImpl = serviceImpl;
      this.methodId = methodId;
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public void invoke(Req request, io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_PULL:
          serviceImpl.pull((dev.tidings.v1.PullRequest) request,
              (io.grpc.stub.StreamObserver<dev.tidings.v1.PullResponse>) responseObserver);
          break;
        case METHODID_SETTLE:
          serviceImpl.settle((dev.tidings.v1.SettleRequest) request,
              (io.grpc.stub.StreamObserver<dev.tidings.v1.SettleResponse>) responseObserver);
          break;
        default:
          throw new AssertionError();
      }
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public io.grpc.stub.StreamObserver<Req> invoke(
        io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getPullMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.tidings.v1.PullRequest,
              dev.tidings.v1.PullResponse>(
                service, METHODID_PULL)))
        .addMethod(
          getSettleMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.tidings.v1.SettleRequest,
              dev.tidings.v1.SettleResponse>(
                service, METHODID_SETTLE)))
        .build();
  }

  private static abstract class WorkersBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    WorkersBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.tidings.v1.WorkersProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("Workers");
    }
  }

  private static final class WorkersFileDescriptorSupplier
      extends WorkersBaseDescriptorSupplier {
    WorkersFileDescriptorSupplier() {}
  }

  private static final class WorkersMethodDescriptorSupplier
      extends WorkersBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    WorkersMethodDescriptorSupplier(java.lang.String methodName) {
      this.methodName = methodName;
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.MethodDescriptor getMethodDescriptor() {
      return getServiceDescriptor().findMethodByName(methodName);
    }
  }

  private static volatile io.grpc.ServiceDescriptor serviceDescriptor;

  public static io.grpc.ServiceDescriptor getServiceDescriptor() {
    io.grpc.ServiceDescriptor result = serviceDescriptor;
    if (result == null) {
      synchronized (WorkersGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new WorkersFileDescriptorSupplier())
              .addMethod(getPullMethod())
              .addMethod(getSettleMethod())
              .build();
        }
      }
    }
    return result;
  }
}
