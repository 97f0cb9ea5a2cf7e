package dev.tidings.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Registered protobuf types are also served by grpc.reflection, so grpcurl
 * accepts google.protobuf.Any payloads as JSON.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class SchemasGrpc {

  private SchemasGrpc() {}

  public static final java.lang.String SERVICE_NAME = "tidings.v1.Schemas";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.tidings.v1.RegisterSchemaRequest,
      dev.tidings.v1.Schema> getRegisterSchemaMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "RegisterSchema",
      requestType = dev.tidings.v1.RegisterSchemaRequest.class,
      responseType = dev.tidings.v1.Schema.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.tidings.v1.RegisterSchemaRequest,
      dev.tidings.v1.Schema> getRegisterSchemaMethod() {
    io.grpc.MethodDescriptor<dev.tidings.v1.RegisterSchemaRequest, dev.tidings.v1.Schema> getRegisterSchemaMethod;
    if ((getRegisterSchemaMethod = SchemasGrpc.getRegisterSchemaMethod) == null) {
      synchronized (SchemasGrpc.class) {
        if ((getRegisterSchemaMethod = SchemasGrpc.getRegisterSchemaMethod) == null) {
          SchemasGrpc.getRegisterSchemaMethod = getRegisterSchemaMethod =
              io.grpc.MethodDescriptor.<dev.tidings.v1.RegisterSchemaRequest, dev.tidings.v1.Schema>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "RegisterSchema"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.RegisterSchemaRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.Schema.getDefaultInstance()))
              .setSchemaDescriptor(new SchemasMethodDescriptorSupplier("RegisterSchema"))
              .build();
        }
      }
    }
    return getRegisterSchemaMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.tidings.v1.GetSchemaRequest,
      dev.tidings.v1.Schema> getGetSchemaMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetSchema",
      requestType = dev.tidings.v1.GetSchemaRequest.class,
      responseType = dev.tidings.v1.Schema.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.tidings.v1.GetSchemaRequest,
      dev.tidings.v1.Schema> getGetSchemaMethod() {
    io.grpc.MethodDescriptor<dev.tidings.v1.GetSchemaRequest, dev.tidings.v1.Schema> getGetSchemaMethod;
    if ((getGetSchemaMethod = SchemasGrpc.getGetSchemaMethod) == null) {
      synchronized (SchemasGrpc.class) {
        if ((getGetSchemaMethod = SchemasGrpc.getGetSchemaMethod) == null) {
          SchemasGrpc.getGetSchemaMethod = getGetSchemaMethod =
              io.grpc.MethodDescriptor.<dev.tidings.v1.GetSchemaRequest, dev.tidings.v1.Schema>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetSchema"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.GetSchemaRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.Schema.getDefaultInstance()))
              .setSchemaDescriptor(new SchemasMethodDescriptorSupplier("GetSchema"))
              .build();
        }
      }
    }
    return getGetSchemaMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.tidings.v1.ListSchemasRequest,
      dev.tidings.v1.ListSchemasResponse> getListSchemasMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListSchemas",
      requestType = dev.tidings.v1.ListSchemasRequest.class,
      responseType = dev.tidings.v1.ListSchemasResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.tidings.v1.ListSchemasRequest,
      dev.tidings.v1.ListSchemasResponse> getListSchemasMethod() {
    io.grpc.MethodDescriptor<dev.tidings.v1.ListSchemasRequest, dev.tidings.v1.ListSchemasResponse> getListSchemasMethod;
    if ((getListSchemasMethod = SchemasGrpc.getListSchemasMethod) == null) {
      synchronized (SchemasGrpc.class) {
        if ((getListSchemasMethod = SchemasGrpc.getListSchemasMethod) == null) {
          SchemasGrpc.getListSchemasMethod = getListSchemasMethod =
              io.grpc.MethodDescriptor.<dev.tidings.v1.ListSchemasRequest, dev.tidings.v1.ListSchemasResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListSchemas"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.ListSchemasRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.ListSchemasResponse.getDefaultInstance()))
              .setSchemaDescriptor(new SchemasMethodDescriptorSupplier("ListSchemas"))
              .build();
        }
      }
    }
    return getListSchemasMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.tidings.v1.DeleteSchemaRequest,
      dev.tidings.v1.DeleteSchemaResponse> getDeleteSchemaMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DeleteSchema",
      requestType = dev.tidings.v1.DeleteSchemaRequest.class,
      responseType = dev.tidings.v1.DeleteSchemaResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.tidings.v1.DeleteSchemaRequest,
      dev.tidings.v1.DeleteSchemaResponse> getDeleteSchemaMethod() {
    io.grpc.MethodDescriptor<dev.tidings.v1.DeleteSchemaRequest, dev.tidings.v1.DeleteSchemaResponse> getDeleteSchemaMethod;
    if ((getDeleteSchemaMethod = SchemasGrpc.getDeleteSchemaMethod) == null) {
      synchronized (SchemasGrpc.class) {
        if ((getDeleteSchemaMethod = SchemasGrpc.getDeleteSchemaMethod) == null) {
          SchemasGrpc.getDeleteSchemaMethod = getDeleteSchemaMethod =
              io.grpc.MethodDescriptor.<dev.tidings.v1.DeleteSchemaRequest, dev.tidings.v1.DeleteSchemaResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DeleteSchema"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.DeleteSchemaRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.DeleteSchemaResponse.getDefaultInstance()))
              .setSchemaDescriptor(new SchemasMethodDescriptorSupplier("DeleteSchema"))
              .build();
        }
      }
    }
    return getDeleteSchemaMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static SchemasStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<SchemasStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<SchemasStub>() {
        @java.lang.Override
        public SchemasStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new SchemasStub(channel, callOptions);
        }
      };
    return SchemasStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static SchemasBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<SchemasBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<SchemasBlockingV2Stub>() {
        @java.lang.Override
        public SchemasBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new SchemasBlockingV2Stub(channel, callOptions);
        }
      };
    return SchemasBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static SchemasBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<SchemasBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<SchemasBlockingStub>() {
        @java.lang.Override
        public SchemasBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new SchemasBlockingStub(channel, callOptions);
        }
      };
    return SchemasBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static SchemasFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<SchemasFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<SchemasFutureStub>() {
        @java.lang.Override
        public SchemasFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new SchemasFutureStub(channel, callOptions);
        }
      };
    return SchemasFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Registered protobuf types are also served by grpc.reflection, so grpcurl
   * accepts google.protobuf.Any payloads as JSON.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Registering what is registered answers the version that has it. The answer has neither
     * descriptors nor sources: GetSchema gives them.
     * </pre>
     */
    default void registerSchema(dev.tidings.v1.RegisterSchemaRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.Schema> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getRegisterSchemaMethod(), responseObserver);
    }

    /**
     */
    default void getSchema(dev.tidings.v1.GetSchemaRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.Schema> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetSchemaMethod(), responseObserver);
    }

    /**
     */
    default void listSchemas(dev.tidings.v1.ListSchemasRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.ListSchemasResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListSchemasMethod(), responseObserver);
    }

    /**
     */
    default void deleteSchema(dev.tidings.v1.DeleteSchemaRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.DeleteSchemaResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDeleteSchemaMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service Schemas.
   * <pre>
   * Registered protobuf types are also served by grpc.reflection, so grpcurl
   * accepts google.protobuf.Any payloads as JSON.
   * </pre>
   */
  public static abstract class SchemasImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return SchemasGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service Schemas.
   * <pre>
   * Registered protobuf types are also served by grpc.reflection, so grpcurl
   * accepts google.protobuf.Any payloads as JSON.
   * </pre>
   */
  public static final class SchemasStub
      extends io.grpc.stub.AbstractAsyncStub<SchemasStub> {
    private SchemasStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected SchemasStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new SchemasStub(channel, callOptions);
    }

    /**
     * <pre>
     * Registering what is registered answers the version that has it. The answer has neither
     * descriptors nor sources: GetSchema gives them.
     * </pre>
     */
    public void registerSchema(dev.tidings.v1.RegisterSchemaRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.Schema> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getRegisterSchemaMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void getSchema(dev.tidings.v1.GetSchemaRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.Schema> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetSchemaMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void listSchemas(dev.tidings.v1.ListSchemasRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.ListSchemasResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListSchemasMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void deleteSchema(dev.tidings.v1.DeleteSchemaRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.DeleteSchemaResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDeleteSchemaMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service Schemas.
   * <pre>
   * Registered protobuf types are also served by grpc.reflection, so grpcurl
   * accepts google.protobuf.Any payloads as JSON.
   * </pre>
   */
  public static final class SchemasBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<SchemasBlockingV2Stub> {
    private SchemasBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected SchemasBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new SchemasBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Registering what is registered answers the version that has it. The answer has neither
     * descriptors nor sources: GetSchema gives them.
     * </pre>
     */
    public dev.tidings.v1.Schema registerSchema(dev.tidings.v1.RegisterSchemaRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getRegisterSchemaMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.Schema getSchema(dev.tidings.v1.GetSchemaRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetSchemaMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.ListSchemasResponse listSchemas(dev.tidings.v1.ListSchemasRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListSchemasMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.DeleteSchemaResponse deleteSchema(dev.tidings.v1.DeleteSchemaRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDeleteSchemaMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service Schemas.
   * <pre>
   * Registered protobuf types are also served by grpc.reflection, so grpcurl
   * accepts google.protobuf.Any payloads as JSON.
   * </pre>
   */
  public static final class SchemasBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<SchemasBlockingStub> {
    private SchemasBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected SchemasBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new SchemasBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Registering what is registered answers the version that has it. The answer has neither
     * descriptors nor sources: GetSchema gives them.
     * </pre>
     */
    public dev.tidings.v1.Schema registerSchema(dev.tidings.v1.RegisterSchemaRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getRegisterSchemaMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.Schema getSchema(dev.tidings.v1.GetSchemaRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetSchemaMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.ListSchemasResponse listSchemas(dev.tidings.v1.ListSchemasRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListSchemasMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.DeleteSchemaResponse deleteSchema(dev.tidings.v1.DeleteSchemaRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDeleteSchemaMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service Schemas.
   * <pre>
   * Registered protobuf types are also served by grpc.reflection, so grpcurl
   * accepts google.protobuf.Any payloads as JSON.
   * </pre>
   */
  public static final class SchemasFutureStub
      extends io.grpc.stub.AbstractFutureStub<SchemasFutureStub> {
    private SchemasFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected SchemasFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new SchemasFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Registering what is registered answers the version that has it. The answer has neither
     * descriptors nor sources: GetSchema gives them.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.tidings.v1.Schema> registerSchema(
        dev.tidings.v1.RegisterSchemaRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getRegisterSchemaMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.tidings.v1.Schema> getSchema(
        dev.tidings.v1.GetSchemaRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetSchemaMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.tidings.v1.ListSchemasResponse> listSchemas(
        dev.tidings.v1.ListSchemasRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListSchemasMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.tidings.v1.DeleteSchemaResponse> deleteSchema(
        dev.tidings.v1.DeleteSchemaRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDeleteSchemaMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_REGISTER_SCHEMA = 0;
  private static final int METHODID_GET_SCHEMA = 1;
  private static final int METHODID_LIST_SCHEMAS = 2;
  private static final int METHODID_DELETE_SCHEMA = 3;

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
        case METHODID_REGISTER_SCHEMA:
          serviceImpl.registerSchema((dev.tidings.v1.RegisterSchemaRequest) request,
              (io.grpc.stub.StreamObserver<dev.tidings.v1.Schema>) responseObserver);
          break;
        case METHODID_GET_SCHEMA:
          serviceImpl.getSchema((dev.tidings.v1.GetSchemaRequest) request,
              (io.grpc.stub.StreamObserver<dev.tidings.v1.Schema>) responseObserver);
          break;
        case METHODID_LIST_SCHEMAS:
          serviceImpl.listSchemas((dev.tidings.v1.ListSchemasRequest) request,
              (io.grpc.stub.StreamObserver<dev.tidings.v1.ListSchemasResponse>) responseObserver);
          break;
        case METHODID_DELETE_SCHEMA:
          serviceImpl.deleteSchema((dev.tidings.v1.DeleteSchemaRequest) request,
              (io.grpc.stub.StreamObserver<dev.tidings.v1.DeleteSchemaResponse>) responseObserver);
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
          getRegisterSchemaMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.tidings.v1.RegisterSchemaRequest,
              dev.tidings.v1.Schema>(
                service, METHODID_REGISTER_SCHEMA)))
        .addMethod(
          getGetSchemaMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.tidings.v1.GetSchemaRequest,
              dev.tidings.v1.Schema>(
                service, METHODID_GET_SCHEMA)))
        .addMethod(
          getListSchemasMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.tidings.v1.ListSchemasRequest,
              dev.tidings.v1.ListSchemasResponse>(
                service, METHODID_LIST_SCHEMAS)))
        .addMethod(
          getDeleteSchemaMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.tidings.v1.DeleteSchemaRequest,
              dev.tidings.v1.DeleteSchemaResponse>(
                service, METHODID_DELETE_SCHEMA)))
        .build();
  }

  private static abstract class SchemasBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    SchemasBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.tidings.v1.AdminProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("Schemas");
    }
  }

  private static final class SchemasFileDescriptorSupplier
      extends SchemasBaseDescriptorSupplier {
    SchemasFileDescriptorSupplier() {}
  }

  private static final class SchemasMethodDescriptorSupplier
      extends SchemasBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    SchemasMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (SchemasGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new SchemasFileDescriptorSupplier())
              .addMethod(getRegisterSchemaMethod())
              .addMethod(getGetSchemaMethod())
              .addMethod(getListSchemasMethod())
              .addMethod(getDeleteSchemaMethod())
              .build();
        }
      }
    }
    return result;
  }
}
